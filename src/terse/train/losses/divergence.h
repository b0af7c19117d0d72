// Divergences between what a teacher and a student predict.
#pragma once

#include <torch/torch.h>

#include <string_view>

namespace terse::train {

/// Which divergence of the student's distribution q from the teacher's p is minimised.
enum class DivergenceKind {
  forward_kl,        ///< KL(p || q) (Hinton et al., arXiv 1503.02531)
  reverse_kl,        ///< KL(q || p) (Gu et al., MiniLLM, arXiv 2306.08543)
  jensen_shannon,    ///< a KL(p || m) + (1 - a) KL(q || m), m = a p + (1 - a) q (arXiv 2306.13649)
  skewed_kl,         ///< KL(p || a p + (1 - a) q) (Ko et al., DistiLLM, arXiv 2402.03898)
  skewed_reverse_kl  ///< KL(q || a q + (1 - a) p) (the same)
};

/// "forward_kl" and so on. Errors: bad_usage.
DivergenceKind parse_divergence(std::string_view name);

struct Divergence {
  DivergenceKind kind = DivergenceKind::forward_kl;
  double skew = 0.5;  ///< a, of the last three.
  double temperature = 1.0;
};

/// The divergence of every row [rows], times temperature^2, and its gradient [rows, vocabulary] by
/// the student's logits. `teacher` [rows, vocabulary] are probabilities at the temperature.
struct RowDivergence {
  torch::Tensor loss;
  torch::Tensor gradient;
};
RowDivergence row_divergence(const Divergence& divergence, const torch::Tensor& teacher,
                             const torch::Tensor& logits);

}  // namespace terse::train
