// `terse importance` from its text to its file.
#pragma once

#include "terse/methods/training.h"

namespace terse::train {

/// As TrainingModule::score.
ImportanceReport run_importance(const ImportanceTask& task, Progress& progress);

}  // namespace terse::train
