// What a teacher predicts, as the end of training.
#pragma once

#include <memory>

#include "terse/methods/training.h"
#include "terse/train/loop/objective.h"
#include "terse/train/losses/divergence.h"

namespace terse::train {

/// `weight` times the divergence from what the problem's teacher predicts, the rest the text's own
/// tokens. The teacher is in the process, or its outputs are in the problem's file. Errors:
/// bad_input when the vocabularies differ or the file does not fit.
std::unique_ptr<Objective> teacher_objective(const LearningProblem& problem, Divergence divergence,
                                             double weight, const torch::Device& device);

}  // namespace terse::train
