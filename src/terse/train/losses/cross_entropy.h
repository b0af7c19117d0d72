// The loss of language models.
#pragma once

#include "terse/train/chunked_loss.h"

namespace terse::train {

/// A target that does not count, as libtorch has it.
inline constexpr std::int64_t kIgnored = -100;

/// -log softmax(logits)[target] for targets [rows] of int64.
class CrossEntropy : public RowLoss {
 public:
  explicit CrossEntropy(torch::Tensor targets) : targets_(std::move(targets)) {}

  double sum_and_gradient(std::int64_t first, torch::Tensor& logits) override;

 private:
  torch::Tensor targets_;
};

}  // namespace terse::train
