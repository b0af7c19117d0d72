// One block whose linears are quantised together, so that its outputs stay those of the recipe's
// input.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>

#include "terse/core/progress.h"
#include "terse/recipe/block_compressor.h"
#include "terse/recipe/calibration_stream.h"
#include "terse/recipe/reference_stream.h"
#include "terse/recipe/schedule.h"

namespace terse {

class BlockReconstructor : public BlockWorker {
 public:
  /// `reference` is the recipe's input; its blocks are loaded and freed as it is walked through
  /// beside `model`, on activations of its own, of which `memory` bytes may be held and the rest
  /// goes to a file in `directory`. All must outlive this.
  BlockReconstructor(Model& model, Model reference, const Schedule& schedule,
                     CalibrationStream& stream, const CalibrationTokens& tokens,
                     std::uint64_t memory, const std::filesystem::path& directory,
                     const OutputSettings& output, Progress& progress);

  BlockResult compress(std::int64_t block) override;

 private:
  std::map<LinearKey, QuantizedMatrix> reconstruct(std::int64_t block,
                                                   const std::vector<LinearInWork>& works);

  Model& model_;
  const Schedule& schedule_;
  CalibrationStream& stream_;
  ReferenceStream reference_;
  OutputSettings output_;
  Progress& progress_;
};

}  // namespace terse
