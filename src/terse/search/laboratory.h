// Measures what single changes of a model do to what it predicts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "terse/core/progress.h"
#include "terse/eval/windows.h"
#include "terse/model/cpu_operations.h"
#include "terse/recipe/calibration_stream.h"
#include "terse/recipe/schedule.h"
#include "terse/search/choice.h"
#include "terse/search/usage.h"

namespace terse {

/// A choice for a unit whose effect is asked for.
struct Trial {
  const Unit* unit;
  const Choice* choice;
};

/// What a trial found.
struct Effect {
  Sizes sizes;  ///< Of all linears of the unit, or of embedding and head.
  /// KL(dense || changed), summed over the scored positions of each window, where of the unit the
  /// one linear that is measured is changed.
  std::vector<double> window_kl;
};

/// Holds the model, dense and to be changed. A trial changes one linear (compressed from its dense
/// weight and the second moments of what the dense model feeds it), runs the windows from the block
/// of that linear on, and puts it back. Calibration text is walked through once for any number of
/// trials. The model is wholly in memory.
class Laboratory {
 public:
  /// `tokens` calibrate; `folder` takes files for a moment.
  Laboratory(const Checkpoint& checkpoint, Windows windows, CalibrationTokens tokens,
             std::filesystem::path folder);

  const Model& model() const { return *dense_; }

  std::int64_t calibration_tokens() const { return tokens_.tokens(); }

  /// Positions that are scored, by window.
  const std::vector<double>& window_positions() const { return positions_; }

  /// Whether the methods of a choice can be applied to the linears of a unit.
  bool fits(const Unit& unit, const Choice& choice);

  /// Sizes of a unit as it is.
  Sizes dense_sizes(const Unit& unit) const;

  /// Measures trials, block by block whatever their order, and tells of each when it is done;
  /// stops when `told` returns false. Where nothing is to be measured nothing is computed.
  void measure(std::span<const Trial> trials,
               const std::function<bool(std::size_t trial, const Effect& effect)>& told);

  /// The divergence, as in Effect, of the model of which one block is changed by steps of one pass.
  std::vector<double> kl_of_block(const std::vector<RecipeStep>& steps, std::int64_t block);

  /// The same of the model without a block.
  std::vector<double> kl_without(std::int64_t block);

 private:
  // Windows that are computed together.
  struct Group {
    std::size_t first;
    std::size_t last;
    std::vector<KeyValueCache> caches;
    Batch batch;
    HiddenStates dense;           // what the head of the dense model reads
    std::vector<Matrix> logits;   // of the dense model by stretch of rows, where they are held
    std::vector<Matrix> entries;  // what each block of the dense model reads
  };

  void make_groups();
  void hold_logits();
  std::vector<double> kl_from(const Model& model, std::int64_t block);
  std::vector<double> kl_of_path(const Model& model, std::int64_t block,
                                 const std::function<bool(std::int64_t block)>& passes);
  void add_kl(const Group& group, const Model& model, Matrix hidden,
              std::vector<double>& window_kl) const;
  const Schedule& schedule_of(const Choice& choice, LinearRole role);
  StatisticsNeeds needs_of(std::span<const Trial> trials, std::int64_t block, Stage stage);
  Sizes dense_sizes(const LinearPlace& place) const;
  Effect measure_embeddings(const Trial& trial);
  Effect measure_linear(const Trial& trial, const InputStatistics* inputs);

  std::shared_ptr<const Checkpoint> checkpoint_;
  Windows windows_;
  CalibrationTokens tokens_;
  std::filesystem::path folder_;
  std::vector<double> positions_;
  std::unique_ptr<Model> dense_;
  std::unique_ptr<Model> changed_;  // the dense weights, but during a trial
  std::vector<Group> groups_;
  std::map<std::pair<std::string, LinearRole>, Schedule> schedules_;
};

}  // namespace terse
