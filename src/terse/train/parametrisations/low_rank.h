// A weight made of two narrow ones, each with a parametrisation of its own.
#pragma once

#include <memory>

#include "terse/train/parametrisation.h"

namespace terse::train {

/// W = B A; folds into the weight LowRank (model/weights/low_rank.h).
std::unique_ptr<Parametrisation> low_rank_parametrisation(std::unique_ptr<Parametrisation> a,
                                                          std::unique_ptr<Parametrisation> b);

}  // namespace terse::train
