// A weight that is not trained: the backward pass takes down what its gradients say of it.
#pragma once

#include <memory>

#include "terse/train/importance/score_sums.h"
#include "terse/train/parametrisation.h"

namespace terse::train {

/// The weight of `sums`, which every backward pass through it adds a sample to.
std::unique_ptr<Parametrisation> scored_weight(std::shared_ptr<ScoreSums> sums);

}  // namespace terse::train
