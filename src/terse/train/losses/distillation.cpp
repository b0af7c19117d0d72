#include "terse/train/losses/distillation.h"

#include <utility>

namespace terse::train {

Distillation::Distillation(double weight, DivergenceFromTeacher divergence, torch::Tensor targets)
    : weight_(weight),
      divergence_(std::move(divergence)),
      targets_(targets),
      cross_entropy_(std::move(targets)) {}

double Distillation::sum_and_gradient(std::int64_t first, torch::Tensor& logits) {
  const std::int64_t rows = logits.size(0);
  const torch::Tensor counts =
      (targets_.narrow(0, first, rows) != kIgnored).to(logits.scalar_type()).unsqueeze(1);
  const RowDivergence divergence = divergence_(first, logits);
  double loss = weight_ * (divergence.loss.unsqueeze(1) * counts).sum().item<double>();
  const torch::Tensor gradient = divergence.gradient * counts * weight_;
  if (weight_ == 1) {
    logits = gradient;
    return loss;
  }
  loss += (1 - weight_) * cross_entropy_.sum_and_gradient(first, logits);
  logits = logits * (1 - weight_) + gradient;
  return loss;
}

}  // namespace terse::train
