// How the learning rate goes over the steps of a run.
#pragma once

#include <cstdint>

#include "terse/methods/training.h"

namespace terse::train {

/// The learning rate of step `step` of `steps`, from 0: linear warm-up to the highest; then
/// "constant"; "cosine" down to min_lr_rate of it (Loshchilov and Hutter, arXiv 1608.03983); "wsd",
/// constant but for a linear decay at the end (Hu et al., MiniCPM, arXiv 2404.06395). Errors:
/// bad_usage for another schedule.
double learning_rate(const TrainingSettings& settings, std::int64_t step, std::int64_t steps);

}  // namespace terse::train
