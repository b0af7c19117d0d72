// Copies of a training run on disk: what a run that was killed goes on from, and the best weights.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "terse/core/json.h"

namespace terse::train {

using NamedTensors = std::vector<std::pair<std::string, torch::Tensor>>;

/// Writes tensors in float32 with `about`, completely or not at all. Errors: failed.
void write_copy(const std::filesystem::path& path, const NamedTensors& tensors, const Json& about);

/// Fills the tensors from a copy and returns its `about`. Errors: bad_input when it holds other
/// tensors.
Json read_copy(const std::filesystem::path& path, const NamedTensors& tensors);

}  // namespace terse::train
