// The steps of a recipe that change a model's shape, before all others.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "terse/core/progress.h"
#include "terse/methods/shape_method.h"
#include "terse/recipe/block_compressor.h"
#include "terse/recipe/calibration.h"
#include "terse/recipe/journal.h"
#include "terse/recipe/recipe.h"

namespace terse {

/// Steps of a recipe that change the shape.
std::vector<RecipeStep> shape_steps_of(const Recipe& recipe);

/// Whether a step that changes the shape looks at calibration text.
bool shape_is_calibrated(const RecipeStep& step);

/// Runs them one after another: each looks at the model as those before left it, chooses what
/// stays, and makes up for what goes. Each has a journal of its own in the folder of the run.
class ShapeSteps {
 public:
  struct Settings {
    std::filesystem::path work;      ///< The folder of the run.
    std::uint64_t memory = 0;        ///< Private memory to keep to, in bytes.
    bool limited = false;            ///< Whether more than that is refused.
    double activation_interval = 0;  ///< As RunSettings.
    std::function<void()> on_part;   ///< Called when something was finished that is worth keeping.
  };

  ShapeSteps(const Recipe& recipe, const RunIdentity& identity, Settings settings,
             Progress& progress);

  /// Whether a run in this folder has begun with them.
  static bool begun(const std::filesystem::path& work);

  /// The checkpoint that the other steps work on. Errors: as those of the methods.
  Checkpoint run(const Checkpoint& input);

  /// What the steps were calibrated on; without a value where none was.
  const std::optional<CalibrationTokens>& tokens() const { return tokens_; }

  /// What a person should know: "flap: 1,234 of 5,678 parameters stay in the blocks".
  const std::vector<std::string>& notes() const { return notes_; }

  /// Blocks that were finished by an earlier process.
  std::int64_t resumed_blocks() const { return resumed_blocks_; }

 private:
  RecipeStep own_ratio(const Checkpoint& base, const RecipeStep& step, Journal& journal);
  Checkpoint apply(const Checkpoint& base, const RecipeStep& step, std::size_t index);
  void calibrate(const Checkpoint& input, Journal& journal);
  CalibrationSize calibration_size() const;
  std::uint64_t stream_memory(const Model& model, const ShapeMethod& method) const;
  std::vector<KeptBlock> choose(const Checkpoint& base, const RecipeStep& step, Journal& journal);
  std::vector<KeptBlock> choose_by_trial(Model& model, const ShapeMethod& method,
                                         std::string_view name, Journal& journal);
  Checkpoint compensate(const Checkpoint& base, const ShapeMethod& method,
                        const std::vector<KeptBlock>& kept, Journal& journal);
  Checkpoint compensate_stream(const Checkpoint& base, const ShapeMethod& method,
                               const std::vector<std::int64_t>& kept, Journal& journal);
  Checkpoint rewrite(const Checkpoint& base, const ShapeMethod& method, Journal& journal);
  Checkpoint slice(const Checkpoint& base, const ShapeMethod& method, std::int64_t width,
                   Journal& journal);
  SecondMoments embedding_moments(const Model& model, const ShapeMethod& method,
                                  const Journal& journal) const;
  Checkpoint walk(const Checkpoint& base, Model& model, CalibrationStream* stream,
                  BlockWorker& worker, Journal& journal);

  const Recipe& recipe_;
  const RunIdentity& identity_;
  Settings settings_;
  Progress& progress_;
  std::optional<CalibrationTokens> tokens_;
  std::vector<std::string> notes_;
  std::int64_t resumed_blocks_ = 0;
};

}  // namespace terse
