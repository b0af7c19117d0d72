#include "terse/eval/divergence.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "terse/core/error.h"
#include "terse/core/threads.h"
#include "terse/kernels/vector_math.h"
#include "terse/model/finite.h"

namespace terse {
namespace {

struct Position {
  double kl;
  double base_loss;
  double loss;
  bool same_top;
};

// `p` and `q`: logits of the base and of the other model; `p` is overwritten by probabilities.
Position compare(float* p, const float* q, std::int64_t size, std::int32_t target) {
  const double p_sum = kernels::log_sum_exp(p, size);
  const double q_sum = kernels::log_sum_exp(q, size);
  const bool same = std::max_element(p, p + size) - p == std::max_element(q, q + size) - q;
  const double base_loss = p_sum - p[target];
  const double kl = kl_of_logits(p, p_sum, q, q_sum, size);
  return {kl, base_loss, q_sum - q[target], same};
}

// Sums of a quantity by window.
struct Sums {
  explicit Sums(std::size_t windows)
      : kl(windows), top(windows), base(windows), gap(windows), count(windows) {}
  std::vector<double> kl, top, base, gap, count;

  void add(std::size_t window, const Position& position) {
    kl[window] += position.kl;
    top[window] += position.same_top ? 1 : 0;
    base[window] += position.base_loss;
    gap[window] += position.loss - position.base_loss;
    count[window] += 1;
  }
};

void check_finite(const Sums& sums, const Windows& windows, std::size_t window, const Model& base,
                  const Model& model) {
  if (std::isfinite(sums.kl[window]) && std::isfinite(sums.gap[window])) return;
  for (const Model* each : {&base, &model}) {
    with_context(each->checkpoint().dir().string(),
                 [&] { require_finite_blocks(*each, windows.tokens(windows.windows[window])); });
  }
  throw failure("the divergence of window {} is not finite; the weights of a head overflow",
                window);
}

}  // namespace

double kl_of_logits(float* p, double p_sum, const float* q, double q_sum, std::int64_t size) {
  // log p - log q = (logit of p - logit of q) - (log-sum of p - log-sum of q)
  std::vector<float> gap(static_cast<std::size_t>(size));
  for (std::int64_t i = 0; i < size; ++i) gap[static_cast<std::size_t>(i)] = p[i] - q[i];
  kernels::softmax(p, size);
  double kl = 0;
  for (std::int64_t i = 0; i < size; ++i) {
    kl += static_cast<double>(p[i]) *
          (static_cast<double>(gap[static_cast<std::size_t>(i)]) - (p_sum - q_sum));
  }
  return kl;
}

DivergenceResult divergence(const Model& base, const Model& model, const Windows& windows,
                            Progress& progress, const CacheOptions& cache) {
  const std::int64_t vocabulary = base.architecture().vocab_size;
  if (model.architecture().vocab_size != vocabulary) {
    throw bad_input("the models have vocabularies of {} and {} tokens; they cannot be compared",
                    vocabulary, model.architecture().vocab_size);
  }
  Sums sums(windows.windows.size());
  std::vector<float> kls;
  progress.begin("divergence", windows.rows(), "tokens");
  for (const auto& [first, last] : group_windows(windows)) {
    const HiddenStates base_states = hidden_states(base, windows, first, last);
    const HiddenStates states = hidden_states(model, windows, first, last, cache);
    for (const ScoredRows& rows : scored_rows(windows, states, first, last)) {
      const auto count = static_cast<std::int64_t>(rows.targets.size());
      Matrix p = logits_of(base, base_states.rows, rows.first_row, count);
      const Matrix q = logits_of(model, states.rows, rows.first_row, count);
      std::vector<Position> positions(rows.targets.size());
      parallel_for(count, [&](std::int64_t r) {
        const auto i = static_cast<std::size_t>(r);
        positions[i] = compare(p.row(r).data(), q.row(r).data(), vocabulary, rows.targets[i]);
      });
      for (const Position& position : positions) {
        sums.add(rows.window, position);
        kls.push_back(static_cast<float>(position.kl));
      }
      check_finite(sums, windows, rows.window, base, model);
    }
    progress.advance(states.rows.rows());
  }
  progress.end();
  DivergenceResult result;
  result.tokens = static_cast<std::int64_t>(kls.size());
  result.windows = static_cast<std::int64_t>(windows.windows.size());
  result.kl = blocked_mean(sums.kl, sums.count);
  result.kl_99 = quantile_of(kls, 0.99);
  result.top1 = blocked_mean(sums.top, sums.count);
  result.base_loss = blocked_mean(sums.base, sums.count);
  result.loss_difference = blocked_mean(sums.gap, sums.count);
  result.base_perplexity = std::exp(result.base_loss.mean);
  result.perplexity = std::exp(result.base_loss.mean + result.loss_difference.mean);
  result.window_kl = std::move(sums.kl);
  result.window_positions = std::move(sums.count);
  return result;
}

Estimate kl_difference(const DivergenceResult& model, const DivergenceResult& other) {
  if (model.window_positions != other.window_positions) {
    throw failure("divergences of different windows cannot be compared");
  }
  std::vector<double> differences(model.window_kl.size());
  std::ranges::transform(model.window_kl, other.window_kl, differences.begin(), std::minus<>());
  return blocked_mean(differences, model.window_positions);
}

}  // namespace terse
