// Recipes as people write them: YAML (docs/recipes.md has the grammar).
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "terse/recipe/recipe.h"

namespace terse {

/// A complete and checked recipe. Errors: bad_input, each one line
/// "source_name:line:column: what is wrong", counted from 1.
Recipe parse_recipe(std::string_view text, const std::string& source_name);

/// The recipe in a file. A bare name (no folders, no file of that name) is that of a ready-made one
/// (ready_made.h). Errors: as parse_recipe, and bad_input when there is neither.
Recipe load_recipe(const std::filesystem::path& path);

}  // namespace terse
