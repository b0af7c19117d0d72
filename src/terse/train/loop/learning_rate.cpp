#include "terse/train/loop/learning_rate.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "terse/core/error.h"

namespace terse::train {
namespace {

// Share of the way from the highest rate (0) to the lowest (1) after `part` of the steps that
// follow the warm-up.
double descent(const TrainingSettings& settings, double part) {
  if (settings.lr_scheduler_type == "constant") return 0;
  if (settings.lr_scheduler_type == "cosine") return (1 - std::cos(std::numbers::pi * part)) / 2;
  if (settings.lr_scheduler_type == "wsd") {
    if (settings.decay_share <= 0) return 0;
    return std::max(0.0, (part - (1 - settings.decay_share)) / settings.decay_share);
  }
  throw bad_usage("lr_scheduler_type '{}' is not constant, cosine or wsd",
                  settings.lr_scheduler_type);
}

}  // namespace

double learning_rate(const TrainingSettings& settings, std::int64_t step, std::int64_t steps) {
  if (step < settings.warmup_steps) {
    return settings.learning_rate * static_cast<double>(step + 1) /
           static_cast<double>(settings.warmup_steps);
  }
  const auto after = static_cast<double>(std::max<std::int64_t>(1, steps - settings.warmup_steps));
  const double part = static_cast<double>(step - settings.warmup_steps) / after;
  const double low = settings.min_lr_rate;
  return settings.learning_rate * (1 - (1 - low) * descent(settings, part));
}

}  // namespace terse::train
