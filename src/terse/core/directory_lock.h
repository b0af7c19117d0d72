// A directory held against other processes.
#pragma once

#include <filesystem>

namespace terse {

/// Holds a directory until the object, or the process, ends. It leaves nothing behind.
class DirectoryLock {
 public:
  /// Errors: failed when another process holds it, or there is no such directory.
  explicit DirectoryLock(const std::filesystem::path& directory);
  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  int descriptor_;
};

}  // namespace terse
