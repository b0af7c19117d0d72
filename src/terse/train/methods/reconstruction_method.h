// How a method reconstructs a block.
#pragma once

#include "terse/train/torch.h"

#include <cstdint>
#include <map>
#include <vector>

#include "terse/methods/training.h"
#include "terse/train/methods/method_table.h"
#include "terse/train/trainable_model.h"

namespace terse::train {

/// A method that quantises the linears of a block together. One file in this folder registers each.
class ReconstructionMethod {
 public:
  virtual ~ReconstructionMethod() = default;

  /// As TrainingModule::reconstruct.
  virtual std::map<LinearKey, QuantizedMatrix> reconstruct(const ReconstructionProblem& problem,
                                                           Progress& progress) const = 0;
};

template <class Method>
using ReconstructionMethodEntry = MethodEntry<ReconstructionMethod, Method>;

/// The squared error of a block's outputs on some of the problem's windows, summed over the values
/// of a token and averaged over tokens. Its gradients are added to those of the parameters. Windows
/// are computed a few at a time, as many as memory must hold anyway.
double add_block_error(const ReconstructionProblem& problem, const TrainableModel& block,
                       const std::vector<std::int64_t>& windows);

}  // namespace terse::train
