// What a recipe will do to a model and what it will take, before anything is done.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "terse/recipe/memory_plan.h"
#include "terse/recipe/recipe.h"

namespace terse {

/// One step of a pass.
struct PlannedStep {
  std::string method;
  std::string options;       ///< Those that were given: "bits 4, group_size 128".
  std::int64_t linears = 0;  ///< That it is for.
  std::string need;          ///< In the words of the registry.
};

/// Seconds of a run by what they go to.
struct PlannedTime {
  double calibration = 0;  ///< Generating text, where none is given.
  double forward = 0;
  double statistics = 0;
  double methods = 0;
  double files = 0;

  double total() const { return calibration + forward + statistics + methods + files; }
};

struct Plan {
  std::vector<std::vector<PlannedStep>> passes;
  std::int64_t blocks = 0;
  std::int64_t parameters = 0;
  std::uint64_t bytes_before = 0;
  double bits_per_weight_before = 0;
  std::uint64_t bytes = 0;  ///< Of the output's weights.
  double bits_per_weight = 0;
  CalibrationSize calibration;
  MemoryPlan memory;  ///< Of the pass that takes the most.
  std::uint64_t memory_limit = 0;
  std::uint64_t disk = 0;  ///< Needed while it runs: unfinished parts, the output, activations.
  std::uint64_t disk_free = 0;  ///< Where the output would go.
  PlannedTime time;
  std::vector<std::string> notes;

  bool fits_memory() const { return memory.peak() <= memory_limit; }
  bool fits_disk() const { return disk <= disk_free; }
};

/// Reads the headers of the model, and measures for a few seconds on random numbers of its shapes.
/// `memory` as in RunSettings; `place` is where the output would go. Errors: as compress(), of what
/// it would refuse before it begins.
Plan plan(const std::filesystem::path& input, const Recipe& recipe, std::uint64_t memory,
          const std::filesystem::path& place);

}  // namespace terse
