// A directory that is written beside its final name.
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

#include "terse/core/error.h"
#include "terse/core/file.h"
#include "terse/formats/directory_marker.h"

namespace terse {

/// Runs `body` and turns errors of the standard library about files into failed, naming the path.
template <class Body>
void with_filesystem_errors(Body&& body) {
  try {
    std::forward<Body>(body)();
  } catch (const std::filesystem::filesystem_error& error) {
    throw failure("{}: {}", error.path1().string(), disk_message(error.code().value()));
  }
}

/// `<output>.part`, locked against other processes and marked as ours. Unless it is committed or
/// kept it is removed.
class StagingDirectory {
 public:
  /// `input` is a directory that is read meanwhile. What is left there by a process that was
  /// killed is removed, or found by the caller with `resume`; anything that is not ours is refused.
  /// Errors: bad_usage when the output is the input, in it or around it; bad_input when the output
  /// is a file, or is a directory that is not empty and `force` is not set, or when `<output>.part`
  /// is not ours; failed when it cannot be created.
  StagingDirectory(const std::filesystem::path& output, bool force,
                   const std::optional<std::filesystem::path>& input, bool resume = false);
  ~StagingDirectory();
  StagingDirectory(const StagingDirectory&) = delete;
  StagingDirectory& operator=(const StagingDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }

  /// A folder in it for what is needed only until `commit`, which removes it.
  std::filesystem::path work() const { return path_ / ".terse-work"; }

  /// From now on it stays when this object goes without `commit`.
  void keep() { keep_ = true; }

  /// Takes `keep` back.
  void give_up() { keep_ = false; }

  /// Whether it is complete but for its name: what `commit` of some identity left when it was
  /// interrupted.
  bool is_complete() const;

  /// Removes everything that is no work.
  void clear_output();

  /// Removes everything.
  void clear();

  /// Makes the directory durable and gives it the name of the output. An older output is removed
  /// after that. The files in it are durable already. Interrupted at any moment, `finish_commit`
  /// with the same `identity` does the rest. Errors: failed.
  void commit(std::string_view identity = {});

 private:
  friend bool finish_commit(const std::filesystem::path& output, std::string_view identity);

  void claim(bool resume);
  bool settle();
  std::optional<DirectoryMarker> take_name() const;

  std::filesystem::path output_;
  std::filesystem::path path_;
  bool force_;
  bool keep_ = false;
  bool settled_ = false;  ///< Whether an output was found whose commit had only to be tidied up.
  std::optional<DirectoryMarker> marker_;
};

/// Completes a `commit` of this identity that was interrupted. Returns whether there was one: the
/// output is complete then. Errors: as StagingDirectory.
bool finish_commit(const std::filesystem::path& output, std::string_view identity);

}  // namespace terse
