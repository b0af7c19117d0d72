// A weight that is trained with another module.
#pragma once

#include <memory>
#include <string>

#include "terse/train/parametrisation.h"

namespace terse::train {

/// W = S, or S + D: S is the weight of `module`, whose parameters are listed there, and D, which
/// may be null, its own. Folds into the weight Shared (model/weights/shared.h).
std::unique_ptr<Parametrisation> shared_parametrisation(
    std::string module, std::shared_ptr<Parametrisation> base,
    std::unique_ptr<Parametrisation> difference);

}  // namespace terse::train
