// How far a model's predictions are from those of the model it was made from.
#pragma once

#include <cstdint>
#include <vector>

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
  /// Sum of the KL divergence over each window, and its positions: two models that were compared
  /// with one base on the same windows are themselves compared by the differences.
  std::vector<double> window_kl;
  std::vector<double> window_positions;
};

/// KL divergence of `model` less that of `other`, both from one base on the same windows: negative
/// where `model` is nearer to the base. Errors: failed when the windows differ.
Estimate kl_difference(const DivergenceResult& model, const DivergenceResult& other);

/// Compares two loaded models with one vocabulary on the same windows; `cache` is that of `model`,
/// the base keeps float32. Errors: bad_input when the vocabularies differ, failed when a number is
/// not finite.
DivergenceResult divergence(const Model& base, const Model& model, const Windows& windows,
                            Progress& progress, const CacheOptions& cache = {});

/// KL(base || model) of one position, in nats, from logits `p` of the base and `q` of the model,
/// `size` each, and the logarithms of their sums of exponentials. `p` is overwritten by
/// probabilities.
double kl_of_logits(float* p, double p_sum, const float* q, double q_sum, std::int64_t size);

}  // namespace terse
