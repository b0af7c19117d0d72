#include "terse/train/losses/top_k_divergence.h"

#include <limits>

namespace terse::train {

// The gradient of the log of a sum of exponentials is their softmax: the others share what their
// outcome gets.
RowDivergence top_k_divergence(const Divergence& divergence, const TopK& teacher,
                               const torch::Tensor& logits) {
  const std::int64_t k = teacher.ids.size(1);
  const torch::Tensor probabilities =
      (teacher.log_probabilities / divergence.temperature).softmax(1);
  const torch::Tensor top = logits.gather(1, teacher.ids);
  if (k == logits.size(1)) {
    const RowDivergence whole = row_divergence(divergence, probabilities, top);
    return {whole.loss, torch::empty_like(logits).scatter_(1, teacher.ids, whole.gradient)};
  }
  torch::Tensor others = logits.scatter(1, teacher.ids, -std::numeric_limits<double>::infinity());
  const torch::Tensor sum = others.logsumexp(1, true);
  const RowDivergence merged = row_divergence(divergence, probabilities, torch::cat({top, sum}, 1));
  others.sub_(sum).exp_().mul_(merged.gradient.narrow(1, k, 1));
  others.scatter_(1, teacher.ids, merged.gradient.narrow(1, 0, k));
  return {merged.loss, others};
}

}  // namespace terse::train
