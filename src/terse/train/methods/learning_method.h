// How a method trains a model: which weights, as what, to which end.
#pragma once

#include <memory>

#include "terse/methods/training.h"
#include "terse/train/loop/objective.h"
#include "terse/train/methods/method_table.h"
#include "terse/train/trainable_model.h"

namespace terse::train {

/// A method that learns. One file in this folder registers each.
class LearningMethod {
 public:
  virtual ~LearningMethod() = default;

  /// What becomes of the model's weights.
  virtual TrainingChoice choice(const LearningProblem& problem,
                                const torch::Device& device) const = 0;

  /// To which end they are trained. The problem outlives it.
  virtual std::unique_ptr<Objective> objective(const LearningProblem& problem,
                                               const torch::Device& device) const;

  /// Adds to `learned` what the step leaves beside the weights of the trained model.
  virtual void complete(const LearningProblem& /*problem*/, const TrainableModel& /*model*/,
                        LearnedModel& /*learned*/) const {}
};

template <class Method>
using LearningMethodEntry = MethodEntry<LearningMethod, Method>;

/// A linear that is trained as it is stored: integers through their grid, other weights themselves;
/// zeros that were pruned stay zero.
std::unique_ptr<Parametrisation> as_stored(const LearningProblem& problem, std::int64_t block,
                                           const LinearKey& key, const Linear& linear,
                                           const torch::Device& device);

/// As LearnedModel says.
LearnedModel run_learning(const LearningProblem& problem, Progress& progress);

}  // namespace terse::train
