// Steps whose ratio is a share of the blocks' operations or of their time.
#pragma once

#include "terse/formats/checkpoint.h"
#include "terse/recipe/recipe.h"

namespace terse {

/// Whether a step that changes the shape says so (`ratio_of`).
bool targets_cost(const RecipeStep& step);

/// Such a step with `ratio` as its method counts it, so that operations or time come nearest to
/// what was asked for; found by trial on the checkpoint's headers, with sizes as if all units were
/// alike, in steps of 0.005. Another step as it is. Time is measured: another call may find another
/// ratio. Errors: bad_usage where no ratio takes so much or so little: says how much one
/// can.
RecipeStep with_own_ratio(const Checkpoint& checkpoint, const RecipeStep& step);

/// The step with this ratio, as its method counts it.
RecipeStep with_ratio(RecipeStep step, double ratio);

}  // namespace terse
