// What a teacher predicts, as the end of training.
#pragma once

#include <memory>

#include "terse/methods/training.h"
#include "terse/train/loop/objective.h"
#include "terse/train/losses/divergence.h"

namespace terse::train {

/// Teacher and student in one process: `weight` times the divergence from what the problem's
/// teacher predicts, the rest the text's own tokens. Errors: bad_input when the vocabularies
/// differ.
std::unique_ptr<Objective> teacher_objective(const LearningProblem& problem, Divergence divergence,
                                             double weight, const torch::Device& device);

}  // namespace terse::train
