// What steps that learn ask of the rest of a recipe, and what they leave.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "terse/recipe/journal.h"
#include "terse/recipe/recipe.h"
#include "terse/recipe/schedule.h"

namespace terse {

/// Files that steps read, besides text and models.
std::vector<std::filesystem::path> learning_files(const Recipe& recipe);

/// Holds each step to the rules of its method, before anything is computed; `schedules` are those
/// of `passes_of`. Errors: as LearningRules::check; bad_usage where two steps would leave adapters.
void check_learning_steps(const Recipe& recipe, const Model& model,
                          std::span<const Schedule> schedules);

/// Whether the weights that a pass finds are those of the recipe's input, rounded at most.
bool is_input_rounded(const Recipe& recipe, std::size_t pass);

/// Puts an adapter that a journal holds into a folder of its own, under PEFT's names. Errors:
/// failed.
void copy_adapter(const AdapterRecord& adapter, const Journal& journal,
                  const std::filesystem::path& folder);

}  // namespace terse
