// The steps of a recipe that change a model's shape.
#pragma once

#include "terse/formats/checkpoint.h"
#include "terse/recipe/recipe.h"

namespace terse {

/// What the other steps of a recipe work on: the checkpoint as the recipe's first steps reshaped
/// it, or as it is. Errors: bad_usage for a step that comes later and for what a method refuses.
Checkpoint reshaped(const Checkpoint& checkpoint, const Recipe& recipe);

}  // namespace terse
