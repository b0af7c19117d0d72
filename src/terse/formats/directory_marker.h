// The file that says whose a directory is.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace terse {

/// Marks a directory as an unfinished output of ours, held by one process at a time. Its text says
/// how far the output is.
class DirectoryMarker {
 public:
  static constexpr const char* kName = ".terse-part";

  /// The text of a directory's marker, or nothing where there is none.
  static std::optional<std::string> read(const std::filesystem::path& directory);

  /// Removes a marked directory: the marker goes last, so that what an interruption leaves is
  /// still known as ours. Errors: std::filesystem::filesystem_error.
  static void remove_directory(const std::filesystem::path& directory);

  /// Makes the marker if need be and holds it until this object goes. Errors: bad_input when
  /// another process holds it; failed when it cannot be created.
  explicit DirectoryMarker(const std::filesystem::path& directory);
  ~DirectoryMarker();
  DirectoryMarker(DirectoryMarker&& other) noexcept;
  DirectoryMarker(const DirectoryMarker&) = delete;
  DirectoryMarker& operator=(const DirectoryMarker&) = delete;

  /// Replaces the text, durably. Errors: failed.
  void write(std::string_view text);

 private:
  void lock() const;

  std::filesystem::path directory_;
  int descriptor_ = -1;
};

}  // namespace terse
