#include "terse/formats/staging_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>

#include "terse/core/error.h"
#include "terse/core/file.h"

namespace terse {
namespace {

namespace fs = std::filesystem;

// Says that a directory is an unfinished output of ours; locked while somebody writes it. It holds
// kComplete and an identity from the moment on when only the name is missing.
constexpr const char* kMarker = ".terse-part";
constexpr std::string_view kComplete = "complete ";

std::string system_message(int code) {
  return std::generic_category().message(code);
}

// The path without links, dots and trailing slashes, whether or not it exists.
fs::path resolve(const fs::path& path) {
  fs::path resolved = fs::weakly_canonical(fs::absolute(path));
  return resolved.has_filename() ? resolved : resolved.parent_path();
}

bool is_within(const fs::path& inner, const fs::path& outer) {
  return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
}

void check_apart(const fs::path& output, const fs::path& input) {
  const fs::path other = resolve(input);
  if (is_within(output, other) || is_within(other, output)) {
    throw bad_usage("output {} and input {} must lie apart; choose another output", output.string(),
                    other.string());
  }
}

void check_output(const fs::path& output, bool force) {
  if (!fs::exists(output)) return;
  if (!fs::is_directory(output)) {
    throw bad_input("{}: exists and is no directory; choose another output", output.string());
  }
  if (!force && !fs::is_empty(output)) {
    throw bad_input("{}: exists already; choose another output or use --force to replace it",
                    output.string());
  }
}

}  // namespace

StagingDirectory::StagingDirectory(const fs::path& output, bool force,
                                   const std::optional<fs::path>& input, bool resume)
    : force_(force) {
  with_filesystem_errors([&] {
    output_ = resolve(output);
    path_ = output_.string() + ".part";
    if (input) check_apart(output_, *input);
    check_output(output_, force_);
    claim(resume);
  });
}

void StagingDirectory::claim(bool resume) {
  std::error_code error;
  fs::create_directories(output_.parent_path(), error);
  const bool is_used = fs::exists(path_) && !fs::is_empty(path_);
  const fs::path marker = path_ / kMarker;
  if (is_used && !fs::exists(marker)) {
    throw bad_input("{}: exists and is no unfinished output; remove it or choose another output",
                    path_.string());
  }
  fs::create_directory(path_, error);
  lock_ = ::open(marker.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_ < 0) {
    throw failure("{}: cannot create: {}", path_.string(), system_message(errno));
  }
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    ::close(lock_);
    throw bad_input("{}: another process is writing it", path_.string());
  }
  if (!resume) clear();
}

void StagingDirectory::clear() {
  with_filesystem_errors([&] {
    for (const auto& entry : fs::directory_iterator(path_)) {
      if (entry.path().filename() != kMarker) fs::remove_all(entry.path());
    }
  });
}

void StagingDirectory::clear_output() {
  with_filesystem_errors([&] {
    for (const auto& entry : fs::directory_iterator(path_)) {
      if (entry.path().filename() != kMarker && entry.path() != work()) {
        fs::remove_all(entry.path());
      }
    }
  });
}

StagingDirectory::~StagingDirectory() {
  if (lock_ < 0) return;
  std::error_code ignored;
  if (!keep_) fs::remove_all(path_, ignored);
  ::close(lock_);
}

// Exchanging the names leaves no moment in which neither output exists; where the file system
// cannot do that, the old output steps aside first, and comes back if the new one cannot follow.
void StagingDirectory::take_name() const {
  if (!fs::exists(output_)) return fs::rename(path_, output_);
  // The old output becomes the folder to remove: marked, so that a run after a crash may do it.
  write_file(output_ / kMarker, "");
  if (::renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, output_.c_str(), RENAME_EXCHANGE) == 0) return;
  const fs::path old = output_.string() + ".old";
  fs::rename(output_, old);
  std::error_code error;
  fs::rename(path_, output_, error);
  if (error) {
    fs::rename(old, output_);
    fs::remove(output_ / kMarker);
    throw fs::filesystem_error("cannot rename", path_, output_, error);
  }
  fs::rename(old, path_);
}

void StagingDirectory::commit(std::string_view identity) {
  with_filesystem_errors([&] {
    check_output(output_, force_);
    const std::string text = std::string(kComplete) + std::string(identity);
    if (::pwrite(lock_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()) ||
        ::ftruncate(lock_, static_cast<off_t>(text.size())) != 0 || ::fsync(lock_) != 0) {
      throw failure("{}: cannot write: {}", path_.string(), system_message(errno));
    }
    keep_ = true;
    fs::remove_all(work());
    sync_directory(path_);
    take_name();
    // Until here a crash leaves a marked folder that the same command takes up again.
    fs::remove(output_ / kMarker);
    ::close(std::exchange(lock_, -1));
    sync_directory(output_.parent_path());
    fs::remove_all(path_);  // the older output, if there was one
  });
}

bool finish_commit(const fs::path& output, std::string_view identity) {
  const fs::path target = resolve(output);
  const auto is_complete = [&](const fs::path& directory) {
    return fs::exists(directory / kMarker) &&
           read_file(directory / kMarker) == std::string(kComplete) + std::string(identity);
  };
  const fs::path part = target.string() + ".part";
  if (is_complete(part)) {
    // Whether the output may be replaced was asked when this commit began.
    StagingDirectory(target, true, std::nullopt, true).commit(identity);
    return true;
  }
  if (!is_complete(target)) return false;
  with_filesystem_errors([&] {
    fs::remove(target / kMarker);
    if (fs::exists(part / kMarker)) fs::remove_all(part);
  });
  return true;
}

}  // namespace terse
