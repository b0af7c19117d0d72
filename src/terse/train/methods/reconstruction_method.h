// How a method reconstructs a block.
#pragma once

#include "terse/train/torch.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "terse/methods/training.h"
#include "terse/train/trainable_model.h"

namespace terse::train {

/// A method that quantises the linears of a block together. One file in this folder registers each.
class ReconstructionMethod {
 public:
  virtual ~ReconstructionMethod() = default;

  /// As TrainingModule::reconstruct.
  virtual std::map<LinearRole, QuantizedMatrix> reconstruct(const ReconstructionProblem& problem,
                                                            Progress& progress) const = 0;
};

/// A static object in a method's file makes it known by its name in the registry.
template <class Method>
struct ReconstructionMethodEntry {
  explicit ReconstructionMethodEntry(std::string_view name) {
    add_reconstruction_method(name, std::make_unique<Method>());
  }
};

void add_reconstruction_method(std::string_view name, std::unique_ptr<ReconstructionMethod> method);

/// Errors: failed when the module does not hold the method.
const ReconstructionMethod& reconstruction_method(std::string_view name);

/// The squared error of a block's outputs on some of the problem's windows, summed over the values
/// of a token and averaged over tokens. Its gradients are added to those of the parameters. Windows
/// are computed a few at a time, as many as memory must hold anyway.
double add_block_error(const ReconstructionProblem& problem, const TrainableModel& block,
                       const std::vector<std::int64_t>& windows);

}  // namespace terse::train
