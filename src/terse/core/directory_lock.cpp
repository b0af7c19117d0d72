#include "terse/core/directory_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "terse/core/error.h"
#include "terse/core/file.h"

namespace terse {

// File systems that know no locks give none.
DirectoryLock::DirectoryLock(const std::filesystem::path& directory)
    : descriptor_(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (descriptor_ < 0) throw failure("{}: {}", directory.string(), disk_message(errno));
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  ::close(descriptor_);
  throw failure("{}: another process is writing in this directory; wait until it is done",
                directory.string());
}

DirectoryLock::~DirectoryLock() {
  ::close(descriptor_);
}

}  // namespace terse
