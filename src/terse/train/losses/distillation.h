// Learning from a teacher's predictions, mixed with the text's own tokens.
#pragma once

#include <functional>
#include <optional>

#include "terse/train/losses/cross_entropy.h"
#include "terse/train/losses/divergence.h"

namespace terse::train {

/// A teacher's probabilities [rows, vocabulary] at the temperature, for rows [first, first + rows).
using TeacherProbabilities =
    std::function<torch::Tensor(std::int64_t first, std::int64_t rows, double temperature)>;

/// weight times the divergence from the teacher plus (1 - weight) times the cross-entropy of
/// `targets`, for rows whose target counts.
class Distillation : public RowLoss {
 public:
  Distillation(Divergence divergence, double weight, TeacherProbabilities teacher,
               torch::Tensor targets);

  double sum_and_gradient(std::int64_t first, torch::Tensor& logits) override;

 private:
  Divergence divergence_;
  double weight_;
  TeacherProbabilities teacher_;
  torch::Tensor targets_;
  CrossEntropy cross_entropy_;
};

}  // namespace terse::train
