// Copies of a training run on disk: what a run that was killed goes on from, and the best weights.
#pragma once

#include "terse/train/torch.h"

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "terse/core/json.h"

namespace terse::train {

using NamedTensors = std::vector<std::pair<std::string, torch::Tensor>>;

/// One copy of a name in a folder: tensors in a file of their own for each version, and
/// `<name>.json`, which says the file of the last version, its digest and what is known besides.
/// The copy is the old one or the new one at every moment.
class TrainingCopy {
 public:
  TrainingCopy(std::filesystem::path folder, std::string name);

  /// Writes tensors in float32; `version` is new. Errors: failed.
  void write(std::int64_t version, const NamedTensors& tensors, const Json& about) const;

  /// What is known of the copy; nothing where there is none or where it is not as it was written.
  std::optional<Json> about() const;

  /// Fills the tensors. Errors: bad_input when the copy holds others.
  void read(const NamedTensors& tensors) const;

 private:
  std::optional<Json> list() const;
  void remove_others(const std::string& file) const;

  std::filesystem::path folder_;
  std::string name_;
};

}  // namespace terse::train
