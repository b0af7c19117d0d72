// `terse train` from its text to its output.
#pragma once

#include "terse/methods/training.h"

namespace terse::train {

/// As TrainingModule::train.
TrainingReport run_training(const TrainingTask& task, Progress& progress);

}  // namespace terse::train
