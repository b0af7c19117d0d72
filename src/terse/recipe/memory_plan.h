// How much memory a recipe takes on a model: known before it runs.
#pragma once

#include <cstdint>

#include "terse/model/model.h"
#include "terse/recipe/recipe.h"
#include "terse/recipe/schedule.h"

namespace terse {

/// Private memory of a run, in bytes, by what it is for.
struct MemoryPlan {
  std::uint64_t program = 0;     ///< The program itself, BLAS, the model's vectors.
  std::uint64_t block = 0;       ///< Weights of a block, packed, the one being written, and its
                                 ///< results.
  std::uint64_t methods = 0;     ///< Statistics and working memory of the largest stage.
  std::uint64_t pass = 0;        ///< One group of windows on its way through a stage.
  std::uint64_t activations = 0; ///< Of all calibration tokens.
  std::uint64_t held = 0;        ///< Of them, what stays in memory.
  std::uint64_t generation = 0;  ///< Self-generated calibration: the whole model and its caches.
  std::uint64_t bound = 0;       ///< What no run exceeds; docs/recipes.md has the sum.

  /// The expected peak.
  std::uint64_t peak() const;

  /// Activations in a file, and copies of them that a killed run goes on from.
  std::uint64_t disk = 0;
};

/// `limit` is the memory that may be used. Errors: bad_usage when the recipe needs more whatever is
/// spilled; says how much.
MemoryPlan plan_memory(const Model& model, const Schedule& schedule, const Recipe& recipe,
                       std::int64_t tokens, std::int64_t window, std::uint64_t limit);

/// The limit of a run that names none: four fifths of what the machine has free.
std::uint64_t default_memory_limit();

}  // namespace terse
