// The shape that the first steps of a recipe give a model.
#pragma once

#include "terse/formats/checkpoint.h"
#include "terse/recipe/recipe.h"

namespace terse {

/// The checkpoint as the recipe's first steps will reshape it, or as it is: sizes as they would be
/// if all units were alike, found from headers alone; shape_steps.h does the work. Errors:
/// bad_usage for a step that comes later and for what a method refuses.
Checkpoint reshaped(const Checkpoint& checkpoint, const Recipe& recipe);

}  // namespace terse
