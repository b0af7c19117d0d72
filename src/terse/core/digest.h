// A short digest that tells whether bytes changed. Not for keeping secrets or adversaries out.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace terse {

/// 64 bits over bytes that come in any number of pieces; how they are cut does not matter.
class Digest {
 public:
  void add(std::span<const std::byte> bytes);
  void add(std::string_view text) { add(std::as_bytes(std::span(text.data(), text.size()))); }

  /// 16 hexadecimal digits.
  std::string text() const;

 private:
  static constexpr std::size_t kLanes = 4;
  static constexpr std::size_t kStep = kLanes * sizeof(std::uint64_t);
  using Lanes = std::array<std::uint64_t, kLanes>;

  static void step(Lanes& lanes, const std::byte* bytes);

  // Independent: their multiplications overlap.
  Lanes lanes_{0x9e3779b97f4a7c15ULL, 0x9e3779b97f4a7c16ULL, 0x9e3779b97f4a7c17ULL,
               0x9e3779b97f4a7c18ULL};
  std::array<std::byte, kStep> rest_{};  // zeros behind what does not fill a step
  std::uint64_t size_ = 0;
};

/// The digest of a file's bytes. Errors: bad_input.
std::string file_digest(const std::filesystem::path& path);

}  // namespace terse
