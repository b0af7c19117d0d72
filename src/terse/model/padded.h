// A model whose blocks differ in shape as a plain one: with zeros where units went.
#pragma once

#include "terse/model/model.h"

namespace terse {

/// The checkpoint of a model that computes the same with blocks of one shape, that of the largest;
/// parts that a block has not are there with weights of zero. Nothing is copied before it is asked
/// for. Weights must be dense. Errors: bad_usage when the config of the family cannot say the
/// shape, or when no block has attention, or none an MLP.
Checkpoint padded(const Model& model);

}  // namespace terse
