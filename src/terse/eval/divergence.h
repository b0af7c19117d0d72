// How far a model's predictions are from those of the model it was made from.
#pragma once

#include <cstdint>

#include "terse/core/progress.h"
#include "terse/eval/statistics.h"
#include "terse/eval/windows.h"

namespace terse {

struct DivergenceResult {
  std::int64_t tokens = 0;
  std::int64_t windows = 0;
  Estimate kl;               ///< KL(base || model) per position, in nats.
  double kl_99 = 0;          ///< Its 99th percentile over positions.
  Estimate top1;             ///< Share of positions where both prefer the same token.
  Estimate base_loss;        ///< Mean loss of the base model, in nats per token.
  Estimate loss_difference;  ///< Model minus base on the same tokens, paired.
  double base_perplexity = 0;
  double perplexity = 0;
};

/// Compares two loaded models with one vocabulary on the same windows. Errors: bad_input when the
/// vocabularies differ, failed when a number is not finite.
DivergenceResult divergence(const Model& base, const Model& model, const Windows& windows,
                            Progress& progress);

}  // namespace terse
