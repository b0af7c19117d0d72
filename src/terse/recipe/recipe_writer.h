// Recipes as text that a person may read and change.
#pragma once

#include <string>

#include "terse/recipe/recipe.h"

namespace terse {

/// The YAML of a recipe: what parse_recipe makes the same recipe of. What has its default is left
/// out.
std::string recipe_yaml(const Recipe& recipe);

}  // namespace terse
