// The shape that the first steps of a recipe give a model.
#pragma once

#include "terse/formats/checkpoint.h"
#include "terse/recipe/recipe.h"

namespace terse {

/// The checkpoint as a step that changes the shape will leave it: sizes as they would be if all
/// units were alike, from headers alone. Errors: bad_usage for what the method refuses.
Checkpoint outline(const Checkpoint& checkpoint, const RecipeStep& step);

/// The checkpoint as the recipe's first steps will reshape it, in outline, or as it is;
/// shape_steps.h does the work. Errors: bad_usage for a step that comes later and for what a method
/// refuses.
Checkpoint reshaped(const Checkpoint& checkpoint, const Recipe& recipe);

}  // namespace terse
