#include "terse/search/work_folder.h"

#include "terse/core/error.h"
#include "terse/formats/staging_directory.h"

namespace terse {

namespace fs = std::filesystem;

WorkFolder::WorkFolder(const fs::path& output, bool restart) : path_(output.string() + ".search") {
  with_filesystem_errors([&] {
    // An empty one is what is left where a process ended before it could mark it.
    const bool ours =
        fs::is_directory(path_) && (fs::is_empty(path_) || DirectoryMarker::read(path_));
    if (fs::exists(path_) && !ours) {
      throw bad_input(
          "{}: is in the way, and not of an unfinished search; move it or give another "
          "output",
          path_.string());
    }
    fs::create_directories(path_);
    marker_.emplace(path_);
    if (!restart) return;
    for (const auto& entry : fs::directory_iterator(path_)) {
      if (entry.path().filename() != DirectoryMarker::kName) fs::remove_all(entry.path());
    }
  });
}

void WorkFolder::remove() {
  with_filesystem_errors([&] { DirectoryMarker::remove_directory(path_); });
  marker_.reset();
}

}  // namespace terse
