// Whether a recipe makes sense by itself, before there is a model.
#pragma once

#include <string>

#include "terse/core/method_registry.h"
#include "terse/recipe/recipe.h"

namespace terse {

/// One value of one option. Errors: bad_usage for an unknown option and for a value that is none of
/// its own.
void check_option(const MethodInfo& info, const std::string& name, const std::string& value);

/// Options that are the same for every linear, together: the method itself is asked. Where one of
/// them is a table, linears differ, and only a model tells what comes together. Errors: bad_usage.
void check_combination(const MethodInfo& info, const RecipeStep& step);

/// Tables of options that must be the same for every linear. Errors: bad_usage.
void check_tables(const MethodInfo& info, const RecipeStep& step);

/// The method, every value and selector, tables, and the combination. Errors: bad_usage.
void check_step(const RecipeStep& step);

/// Every step, calibration and output: what parse_recipe checks too, for recipes from elsewhere.
/// Errors: bad_usage, naming the step (counted from 1) where there are several.
void check_recipe(const Recipe& recipe);

}  // namespace terse
