// Files: mapped reading, and writing that is either complete or absent.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "terse/core/digest.h"

namespace terse {

/// What the system says of an error number, and what to do where that is clear: "No space left on
/// device; free space on this disk and run the same command again".
std::string disk_message(int code);

/// A file mapped for reading. Errors of all functions name the path; bad_input when it cannot be
/// opened.
class MappedFile {
 public:
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::filesystem::path& path() const { return path_; }

  /// Has the system read a part of the file while something else is computed.
  void read_ahead(std::span<const std::byte> part) const;

  /// Gives the pages of a part of the file back to the system; they are read again when touched.
  void drop_pages(std::span<const std::byte> part) const;

 private:
  MappedFile(std::filesystem::path path, std::span<const std::byte> bytes)
      : path_(std::move(path)), bytes_(bytes) {}

  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
};

/// The whole file. Errors: bad_input.
std::string read_file(const std::filesystem::path& path);

/// A file that is being written beside its final name (as `<name>.part`). `commit` makes it
/// durable, gives it its name and returns the digest of the bytes (of those that were given,
/// whatever the disk made of them); without `commit` it is removed. Errors: failed (disk full, no
/// permission), naming the path.
class FileWriter {
 public:
  explicit FileWriter(std::filesystem::path path);
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }
  std::string commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path part_path_;
  Digest digest_;
  int descriptor_ = -1;
};

/// Writes a whole file at once, completely or not at all; returns the digest of its bytes.
std::string write_file(const std::filesystem::path& path, std::string_view text);

/// Makes the entries of a directory durable (after renames). Errors: failed.
void sync_directory(const std::filesystem::path& path);

}  // namespace terse
