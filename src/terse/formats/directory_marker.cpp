#include "terse/formats/directory_marker.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "terse/core/error.h"
#include "terse/core/file.h"

namespace terse {

namespace fs = std::filesystem;

std::optional<std::string> DirectoryMarker::read(const fs::path& directory) {
  const fs::path path = directory / kName;
  if (!fs::is_regular_file(fs::symlink_status(path))) return std::nullopt;
  return read_file(path);
}

void DirectoryMarker::remove_directory(const fs::path& directory) {
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (entry.path().filename() != kName) fs::remove_all(entry.path());
  }
  fs::remove(directory / kName);
  // Another process may have begun there in this moment: then it is its own.
  std::error_code error;
  fs::remove(directory, error);
  if (error && error != std::errc::directory_not_empty) {
    throw fs::filesystem_error("cannot remove", directory, error);
  }
}

DirectoryMarker::DirectoryMarker(const fs::path& directory)
    : directory_(directory),
      descriptor_(
          ::open((directory / kName).c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644)) {
  if (descriptor_ < 0) {
    throw failure("{}: cannot create: {}", directory.string(), disk_message(errno));
  }
  try {
    lock();
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

// The file that is held may have lost its name to a process that finished meanwhile: then it
// protects nothing.
void DirectoryMarker::lock() const {
  struct stat held = {};
  struct stat named = {};
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 || ::fstat(descriptor_, &held) != 0 ||
      ::stat((directory_ / kName).c_str(), &named) != 0 || held.st_ino != named.st_ino ||
      held.st_dev != named.st_dev) {
    throw bad_input("{}: another process is writing it", directory_.string());
  }
}

DirectoryMarker::~DirectoryMarker() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

DirectoryMarker::DirectoryMarker(DirectoryMarker&& other) noexcept
    : directory_(std::move(other.directory_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

void DirectoryMarker::write(std::string_view text) {
  const auto fail = [&] {
    return failure("{}: cannot write: {}", (directory_ / kName).string(), disk_message(errno));
  };
  const auto size = static_cast<off_t>(text.size());
  for (off_t at = 0; at < size;) {
    const ssize_t count =
        ::pwrite(descriptor_, text.data() + at, static_cast<std::size_t>(size - at), at);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw fail();
    at += count;
  }
  if (::ftruncate(descriptor_, size) != 0 || ::fsync(descriptor_) != 0) throw fail();
}

}  // namespace terse
