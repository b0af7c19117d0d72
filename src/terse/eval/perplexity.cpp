#include "terse/eval/perplexity.h"

#include <cmath>
#include <vector>

#include "terse/core/error.h"
#include "terse/core/threads.h"
#include "terse/kernels/vector_math.h"
#include "terse/model/finite.h"

namespace terse {
namespace {

double sum_of_losses(const Matrix& logits, std::span<const std::int32_t> targets) {
  std::vector<double> losses(targets.size());
  parallel_for(static_cast<std::int64_t>(targets.size()), [&](std::int64_t r) {
    const auto i = static_cast<std::size_t>(r);
    losses[i] = kernels::log_sum_exp(logits.row(r).data(), logits.cols()) - logits(r, targets[i]);
  });
  double sum = 0;
  for (const double loss : losses) sum += loss;
  return sum;
}

}  // namespace

PerplexityResult perplexity(const Model& model, const Windows& windows, Progress& progress,
                            const CacheOptions& cache) {
  std::vector<double> sums(windows.windows.size());
  std::vector<double> counts(windows.windows.size());
  PerplexityResult result;
  progress.begin("perplexity", windows.rows(), "tokens");
  for (const auto& [first, last] : group_windows(windows)) {
    const HiddenStates states = hidden_states(model, windows, first, last, cache);
    for (const ScoredRows& rows : scored_rows(windows, states, first, last)) {
      const auto count = static_cast<std::int64_t>(rows.targets.size());
      const Matrix logits = logits_of(model, states.rows, rows.first_row, count);
      sums[rows.window] += sum_of_losses(logits, rows.targets);
      counts[rows.window] += static_cast<double>(count);
      result.tokens += count;
      if (!std::isfinite(sums[rows.window])) {
        require_finite_blocks(model, windows.tokens(windows.windows[rows.window]));
        throw failure("the loss of window {} is not finite; the head's weights overflow",
                      rows.window);
      }
    }
    progress.advance(states.rows.rows());
  }
  progress.end();
  result.windows = static_cast<std::int64_t>(windows.windows.size());
  result.loss = blocked_mean(sums, counts);
  result.perplexity = std::exp(result.loss.mean);
  result.standard_error = result.perplexity * result.loss.standard_error;
  return result;
}

double PerplexityEvaluator::loss(const Model& model) {
  Progress silent;
  return perplexity(model, windows_, silent).loss.mean;
}

}  // namespace terse
