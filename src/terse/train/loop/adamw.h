// AdamW over the parameters of a model, with clipped gradients.
#pragma once

#include "terse/train/torch.h"

#include <cstdint>
#include <string>
#include <vector>

#include "terse/methods/training.h"
#include "terse/train/parametrisation.h"

namespace terse::train {

class AdamW {
 public:
  AdamW(std::vector<Parameter> parameters, const TrainingSettings& settings);

  const std::vector<Parameter>& parameters() const { return parameters_; }

  void zero_gradients();

  /// Norm of all gradients together, in double. Errors: failed, naming a tensor whose gradient is
  /// not finite.
  double gradient_norm() const;

  /// One step (Loshchilov and Hutter, arXiv 1711.05101); gradients are scaled so that their norm
  /// is max_grad_norm at most.
  void step(double learning_rate, double gradient_norm);

  std::int64_t steps() const { return steps_; }

  /// Everything that the next step depends on, by name: "weight/…", "m/…", "v/…".
  std::vector<std::pair<std::string, torch::Tensor>> state() const;
  /// After the tensors of `state` were filled from a copy.
  void set_steps(std::int64_t steps) { steps_ = steps; }

 private:
  std::vector<Parameter> parameters_;
  const TrainingSettings& settings_;
  std::vector<torch::Tensor> first_;  // moments
  std::vector<torch::Tensor> second_;
  std::int64_t steps_ = 0;
};

}  // namespace terse::train
