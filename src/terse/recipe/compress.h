// Running a recipe: block by block, calibrated on activations that the compressed part of the model
// produces; what was finished survives whatever ends the process.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "terse/core/progress.h"
#include "terse/recipe/recipe.h"
#include "terse/recipe/report.h"

namespace terse {

/// How a recipe is run; nothing of it changes a byte of the output.
struct RunSettings {
  bool force = false;    ///< Replace an output directory that exists.
  bool restart = false;  ///< Begin anew where an unfinished output would be continued.
  /// Private memory to keep to, in bytes; 0: four fifths of what the machine has free. Activations
  /// that do not fit go to disk.
  std::uint64_t memory = 0;
  /// Activations are kept on disk, so that a resumed run need not compute them again, when so many
  /// seconds have passed since they last were.
  double activation_interval = 60.0;
};

/// A recipe of one step for every linear.
Recipe one_step_recipe(const std::string& method,
                       const std::map<std::string, std::string>& options = {});

/// Compresses the model in `input` into the new directory `output`, which appears when it is
/// complete. Until then `<output>.part` holds what is finished; the same call continues it and
/// gives the same bytes. Errors: bad_usage and bad_input before anything is computed, and when an
/// unfinished output is of another recipe, model or calibration; failed when the disk is full or
/// numbers are not finite.
CompressionReport compress(const std::filesystem::path& input, const std::filesystem::path& output,
                           const Recipe& recipe, const RunSettings& settings, Progress& progress);

}  // namespace terse
