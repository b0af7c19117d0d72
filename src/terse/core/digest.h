// A short digest that tells whether bytes changed. Not for keeping secrets or adversaries out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace terse {

/// 64 bits over any number of pieces; how they are cut does matter.
class Digest {
 public:
  void add(std::span<const std::byte> bytes);
  void add(std::string_view text) { add(std::as_bytes(std::span(text.data(), text.size()))); }

  /// 16 hexadecimal digits.
  std::string text() const;

 private:
  std::uint64_t state_ = 0x9e3779b97f4a7c15ULL;
};

/// The digest of a file's bytes. Errors: bad_input.
std::string file_digest(const std::filesystem::path& path);

}  // namespace terse
