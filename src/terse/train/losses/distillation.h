// Learning from a teacher's predictions, mixed with the text's own tokens.
#pragma once

#include <functional>

#include "terse/train/losses/cross_entropy.h"
#include "terse/train/losses/divergence.h"

namespace terse::train {

/// How far rows [first, first + logits.size(0)) are from the teacher, by their logits.
using DivergenceFromTeacher =
    std::function<RowDivergence(std::int64_t first, const torch::Tensor& logits)>;

/// weight times the divergence from the teacher plus (1 - weight) times the cross-entropy of
/// `targets`, for rows whose target counts.
class Distillation : public RowLoss {
 public:
  Distillation(double weight, DivergenceFromTeacher divergence, torch::Tensor targets);

  double sum_and_gradient(std::int64_t first, torch::Tensor& logits) override;

 private:
  double weight_;
  DivergenceFromTeacher divergence_;
  torch::Tensor targets_;
  CrossEntropy cross_entropy_;
};

}  // namespace terse::train
