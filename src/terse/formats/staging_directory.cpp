#include "terse/formats/staging_directory.h"

#include <fcntl.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <system_error>

namespace terse {
namespace {

namespace fs = std::filesystem;

// The marker holds this and an identity from the moment on when only the name is missing.
constexpr std::string_view kComplete = "complete ";

std::string complete_text(std::string_view identity) {
  return std::string(kComplete) + std::string(identity);
}

bool says_complete(const fs::path& directory) {
  const std::optional<std::string> text = DirectoryMarker::read(directory);
  return text && text->starts_with(kComplete);
}

// Where the older output steps aside on file systems that cannot exchange names.
fs::path aside(const fs::path& output) {
  return output.string() + ".old";
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
  fs::create_directories(output_.parent_path());
  const bool is_used = fs::exists(path_) && !fs::is_empty(path_);
  if (is_used && !DirectoryMarker::read(path_)) {
    throw bad_input("{}: exists and is no unfinished output; remove it or choose another output",
                    path_.string());
  }
  fs::create_directory(path_);
  try {
    marker_.emplace(path_);
  } catch (...) {
    std::error_code not_empty;
    fs::remove(path_, not_empty);
    throw;
  }
  sync_directory(output_.parent_path());
  settled_ = settle();
  if (!resume) clear();
}

// Tidies up after a commit that was interrupted when it exchanged the outputs, or after that.
// Returns whether the output was complete.
bool StagingDirectory::settle() {
  const fs::path old = aside(output_);
  const bool stepped_aside = DirectoryMarker::read(old).has_value();
  if (stepped_aside && !fs::exists(output_)) fs::rename(old, output_);
  if (!DirectoryMarker::read(output_)) return false;
  const bool is_complete = says_complete(output_);
  if (is_complete) {
    clear();  // the older output, if there was one
    if (stepped_aside) DirectoryMarker::remove_directory(old);
  }
  fs::remove(output_ / DirectoryMarker::kName);
  return is_complete;
}

bool StagingDirectory::is_complete() const {
  return says_complete(path_);
}

// First of all it is not complete any more.
void StagingDirectory::clear() {
  marker_->write("");
  with_filesystem_errors([&] {
    for (const auto& entry : fs::directory_iterator(path_)) {
      if (entry.path().filename() != DirectoryMarker::kName) fs::remove_all(entry.path());
    }
  });
}

void StagingDirectory::clear_output() {
  with_filesystem_errors([&] {
    for (const auto& entry : fs::directory_iterator(path_)) {
      if (entry.path().filename() != DirectoryMarker::kName && entry.path() != work()) {
        fs::remove_all(entry.path());
      }
    }
  });
}

StagingDirectory::~StagingDirectory() {
  if (!marker_ || keep_) return;
  try {
    DirectoryMarker::remove_directory(path_);
  } catch (const fs::filesystem_error&) {
    // It is marked: the next process takes it up.
  }
}

// Exchanging the names leaves no moment in which neither output exists; where the file system
// cannot do that, the old output steps aside first, and comes back if the new one cannot follow.
// Returns the marker of the older output, which then lies at `path_`, where there was one: it is
// held, so that no other process begins there before it is removed.
std::optional<DirectoryMarker> StagingDirectory::take_name() const {
  if (!fs::exists(output_)) {
    fs::rename(path_, output_);
    return std::nullopt;
  }
  std::optional<DirectoryMarker> older(output_);
  if (::renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, output_.c_str(), RENAME_EXCHANGE) == 0) {
    return older;
  }
  const fs::path old = aside(output_);
  fs::rename(output_, old);
  std::error_code error;
  fs::rename(path_, output_, error);
  if (error) {
    fs::rename(old, output_);
    fs::remove(output_ / DirectoryMarker::kName);
    throw fs::filesystem_error("cannot rename", path_, output_, error);
  }
  fs::rename(old, path_);
  return older;
}

// At every moment either the staging directory or the output says that it is complete, until
// nothing is left to do.
void StagingDirectory::commit(std::string_view identity) {
  with_filesystem_errors([&] {
    check_output(output_, force_);
    marker_->write(complete_text(identity));
    keep_ = true;
    fs::remove_all(work());
    sync_directory(path_);
    const std::optional<DirectoryMarker> older = take_name();
    sync_directory(output_.parent_path());
    if (older) DirectoryMarker::remove_directory(path_);
    fs::remove(output_ / DirectoryMarker::kName);
    sync_directory(output_);
    marker_.reset();
  });
}

bool finish_commit(const fs::path& output, std::string_view identity) {
  const fs::path target = resolve(output);
  const std::string complete = complete_text(identity);
  const auto is_complete = [&](const fs::path& directory) {
    return DirectoryMarker::read(directory) == complete;
  };
  bool done = false;
  with_filesystem_errors([&] {
    const fs::path part = target.string() + ".part";
    const bool had_name = is_complete(target);
    if (!had_name && !is_complete(part)) return;
    // Whether the output may be replaced was asked when this commit began.
    StagingDirectory staging(target, true, std::nullopt, true);
    if (had_name) {
      done = staging.settled_;
    } else if (is_complete(part)) {
      staging.commit(identity);
      done = true;
    }
    // Otherwise another process was here in between, and what lies there is not ours to remove.
    if (!done) staging.keep();
  });
  return done;
}

}  // namespace terse
