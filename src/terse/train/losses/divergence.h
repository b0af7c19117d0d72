// Divergences between what a teacher and a student predict.
#pragma once

#include "terse/train/torch.h"

#include "terse/methods/learn/divergence_kind.h"

namespace terse::train {

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
