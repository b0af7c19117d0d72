// How a method asks how good a model is, without knowing how that is measured.
#pragma once

#include "terse/model/model.h"

namespace terse {

/// Scores models; smaller is better. Implemented above this room (eval/).
class Evaluator {
 public:
  virtual ~Evaluator() = default;

  /// Mean loss per token in nats of a loaded model.
  virtual double loss(const Model& model) = 0;
};

}  // namespace terse
