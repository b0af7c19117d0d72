// Perplexity of a model on a text.
#pragma once

#include <cstdint>

#include "terse/core/progress.h"
#include "terse/eval/statistics.h"
#include "terse/eval/windows.h"
#include "terse/methods/evaluator.h"

namespace terse {

struct PerplexityResult {
  std::int64_t tokens = 0;  ///< Predicted tokens.
  std::int64_t windows = 0;
  Estimate loss;              ///< Mean negative log-likelihood per token, in nats.
  double perplexity = 0;      ///< exp(loss)
  double standard_error = 0;  ///< Of the perplexity, to first order.
};

/// Mean loss over all scored positions of the windows. The model must be loaded. Errors: failed
/// when a loss is not finite.
PerplexityResult perplexity(const Model& model, const Windows& windows, Progress& progress,
                            const CacheOptions& cache = {});

/// The loss on fixed windows, as methods ask for it.
class PerplexityEvaluator : public Evaluator {
 public:
  explicit PerplexityEvaluator(Windows windows) : windows_(std::move(windows)) {}

  double loss(const Model& model) override;

 private:
  Windows windows_;
};

}  // namespace terse
