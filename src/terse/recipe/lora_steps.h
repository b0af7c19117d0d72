// What `lora` steps ask of the rest of a recipe, and the adapters that they leave.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "terse/recipe/journal.h"
#include "terse/recipe/recipe.h"
#include "terse/recipe/schedule.h"

namespace terse {

/// The files of adapters that steps go on from.
std::vector<std::filesystem::path> adapter_files(const Recipe& recipe);

/// Checks steps before anything is computed; `schedules` are those of `passes_of`. Errors: as
/// lora_start; bad_usage for an adapter of linears that its step is not aimed at, for adapters that
/// cannot be saved (over pruned weights; of two steps), and for LoftQ over weights of which the
/// recipe's input does not tell what rounding lost.
void check_lora_steps(const Recipe& recipe, const Model& model,
                      std::span<const Schedule> schedules);

/// Whether the weights that a pass finds are those of the recipe's input, rounded at most.
bool is_input_rounded(const Recipe& recipe, std::size_t pass);

/// Puts an adapter that a journal holds into a folder of its own, under PEFT's names. Errors:
/// failed.
void copy_adapter(const AdapterRecord& adapter, const Journal& journal,
                  const std::filesystem::path& folder);

}  // namespace terse
