// Weights that are their own parameters, all of them or those that were not pruned.
#pragma once

#include <memory>

#include "terse/train/parametrisation.h"

namespace terse::train {

/// The weight itself is trained.
std::unique_ptr<Parametrisation> dense_parametrisation(const Matrix& weight,
                                                       const torch::Device& device);

/// The same, but zeros stay zero: their gradients are masked.
std::unique_ptr<Parametrisation> masked_parametrisation(const Matrix& weight,
                                                        const torch::Device& device);

/// Nothing is trained: the weight as it is.
std::unique_ptr<Parametrisation> fixed_parametrisation(std::shared_ptr<Weight> weight,
                                                       const torch::Device& device);

}  // namespace terse::train
