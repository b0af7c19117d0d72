// An adapter merged into the model that it was trained on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "terse/core/progress.h"
#include "terse/recipe/report.h"

namespace terse {

struct MergeSettings {
  bool dequantize = false;  ///< Real numbers in the model's type for every weight.
  bool force = false;       ///< Replace an output that exists.
};

struct MergeReport {
  std::vector<LinearReport> linears;  ///< Those that changed.
  std::uint64_t bytes_before = 0;
  std::uint64_t bytes_after = 0;
};

/// Writes `base` with the adapter of the folder `adapter` (PEFT's format) merged into its weights
/// as `merge_adapter` (model/adapter.h) says; what it does not change is copied byte for byte, side
/// files too. One block is in memory at a time. Errors: bad_input for an adapter of another base
/// and for weights that only `dequantize` lets it change; as CheckpointWriter.
MergeReport merge(const std::filesystem::path& base, const std::filesystem::path& adapter,
                  const std::filesystem::path& output, const MergeSettings& settings,
                  Progress& progress);

}  // namespace terse
