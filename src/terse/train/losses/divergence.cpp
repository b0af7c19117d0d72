#include "terse/train/losses/divergence.h"

namespace terse::train {
namespace {

// Below this a probability counts as this much, so that its logarithm is finite.
constexpr double kSmallest = 1e-30;

torch::Tensor log_of(const torch::Tensor& probability) {
  return probability.clamp_min(kSmallest).log();
}

// Terms of the divergence, and its derivative by each q, [rows, vocabulary].
struct Terms {
  torch::Tensor value;
  torch::Tensor by_q;
};

Terms terms_of(const Divergence& divergence, const torch::Tensor& p, const torch::Tensor& q,
               const torch::Tensor& log_q) {
  const double a = divergence.skew;
  switch (divergence.kind) {
    case DivergenceKind::forward_kl:
      return {p * (log_of(p) - log_q), -p / q.clamp_min(kSmallest)};
    case DivergenceKind::reverse_kl: {
      const torch::Tensor ratio = log_q - log_of(p);
      return {q * ratio, ratio};
    }
    case DivergenceKind::jensen_shannon: {
      const torch::Tensor log_m = log_of(a * p + (1 - a) * q);
      return {a * p * (log_of(p) - log_m) + (1 - a) * q * (log_q - log_m),
              (1 - a) * (log_q - log_m)};
    }
    case DivergenceKind::skewed_kl: {
      const torch::Tensor m = a * p + (1 - a) * q;
      return {p * (log_of(p) - log_of(m)), -(1 - a) * p / m.clamp_min(kSmallest)};
    }
    case DivergenceKind::skewed_reverse_kl: {
      const torch::Tensor m = a * q + (1 - a) * p;
      const torch::Tensor ratio = log_q - log_of(m);
      return {q * ratio, ratio - a * q / m.clamp_min(kSmallest)};
    }
  }
  return {};
}

}  // namespace

// With q = softmax(z / t): dL/dz = q (dL/dq - sum of q dL/dq) / t. The forward divergence needs no
// quotient: (q - p) / t.
RowDivergence row_divergence(const Divergence& divergence, const torch::Tensor& teacher,
                             const torch::Tensor& logits) {
  const double t = divergence.temperature;
  const torch::Tensor log_q = (logits / t).log_softmax(1);
  const torch::Tensor q = log_q.exp();
  const Terms terms = terms_of(divergence, teacher, q, log_q);
  const torch::Tensor gradient = divergence.kind == DivergenceKind::forward_kl
                                     ? q - teacher
                                     : q * (terms.by_q - (q * terms.by_q).sum(1, true));
  return {terms.value.sum(1) * (t * t), gradient * t};
}

}  // namespace terse::train
