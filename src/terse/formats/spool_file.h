// Bytes that wait on disk until it is known what comes before them.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "terse/core/file.h"

namespace terse {

/// A nameless temporary file on the disk of `path`: it vanishes with the object, and with the
/// process however that ends. Errors: failed (disk full, no permission), naming `path`.
class SpoolFile {
 public:
  explicit SpoolFile(std::filesystem::path path);
  ~SpoolFile();
  SpoolFile(const SpoolFile&) = delete;
  SpoolFile& operator=(const SpoolFile&) = delete;

  void append(std::span<const std::byte> bytes);

  /// Appends everything to `writer`.
  void copy_to(FileWriter& writer) const;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace terse
