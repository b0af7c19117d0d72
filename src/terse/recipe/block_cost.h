// What one block of a model costs on this machine, measured on random numbers of its shapes.
#pragma once

#include <cstdint>
#include <map>

#include "terse/model/model.h"
#include "terse/recipe/recipe.h"
#include "terse/recipe/schedule.h"

namespace terse {

/// Seconds and bytes of one block of one pass.
struct BlockCost {
  double forward = 0;         ///< Per token: all stages of the block, once.
  double statistics = 0;      ///< Per token: of the inputs of all stages.
  double block_methods = 0;   ///< Steps that change the block as a whole.
  double linear_methods = 0;  ///< Steps on its linears, reports and packing.
  /// Stored for the linears that the pass changes, less what they take dense.
  std::map<LinearKey, double> change = {};
};

/// Measures block `block` of a model whose weights are not read: they are random here. Linears
/// wider than some 2,000 inputs are measured on smaller ones of the same form, and the time is
/// scaled by the operations that the method takes. Takes a few seconds.
BlockCost measure_block(Model& model, const Schedule& schedule, const OutputSettings& output,
                        const CalibrationSize& calibration, std::int64_t block);

/// Bytes per second that a new file takes, made durable, in the folder for temporary files.
double measure_writing();

}  // namespace terse
