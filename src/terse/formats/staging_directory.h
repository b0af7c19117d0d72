// A directory that is written beside its final name.
#pragma once

#include <filesystem>
#include <optional>
#include <utility>

#include "terse/core/error.h"

namespace terse {

/// Runs `body` and turns errors of the standard library about files into failed, naming the path.
template <class Body>
void with_filesystem_errors(Body&& body) {
  try {
    std::forward<Body>(body)();
  } catch (const std::filesystem::filesystem_error& error) {
    throw failure("{}: {}", error.path1().string(), error.code().message());
  }
}

/// `<output>.part`, locked against other processes, marked as ours, and removed unless it is
/// committed. What a killed process left there is removed first; anything else there is refused.
class StagingDirectory {
 public:
  /// `input` is a directory that is read meanwhile. Errors: bad_usage when the output is the input,
  /// in it or around it; bad_input when the output is a file, or is a directory that is not empty
  /// and `force` is not set, or when `<output>.part` is not ours; failed when it cannot be created.
  StagingDirectory(const std::filesystem::path& output, bool force,
                   const std::optional<std::filesystem::path>& input);
  ~StagingDirectory();
  StagingDirectory(const StagingDirectory&) = delete;
  StagingDirectory& operator=(const StagingDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }

  /// Makes the directory durable and gives it the name of the output. An older output is removed
  /// after that. The files in it are durable already. Errors: failed.
  void commit();

 private:
  void claim();
  void take_name() const;

  std::filesystem::path output_;
  std::filesystem::path path_;
  bool force_;
  int lock_ = -1;
};

}  // namespace terse
