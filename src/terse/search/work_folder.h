// Where a search keeps what it goes on from.
#pragma once

#include <filesystem>
#include <optional>

#include "terse/formats/directory_marker.h"

namespace terse {

/// `<output>.search`, held against other processes. It stays when the process ends, unless it is
/// removed.
class WorkFolder {
 public:
  /// With `restart` what an earlier process left there is removed. Errors: bad_input when there is
  /// something else of that name, or another process holds it; failed.
  WorkFolder(const std::filesystem::path& output, bool restart);

  const std::filesystem::path& path() const { return path_; }

  void remove();

 private:
  std::filesystem::path path_;
  std::optional<DirectoryMarker> marker_;
};

}  // namespace terse
