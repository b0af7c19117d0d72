// The training loop: steps, validation, copies.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>

#include "terse/core/progress.h"
#include "terse/methods/training.h"
#include "terse/train/loop/adamw.h"
#include "terse/train/loop/objective.h"
#include "terse/train/loop/packed_tokens.h"
#include "terse/train/loop/training_copy.h"
#include "terse/train/trainable_model.h"

namespace terse::train {

/// Hidden states [rows, features] that the head reads, of ids [sequences, length].
torch::Tensor hidden_states(const TrainableModel& model, const torch::Tensor& ids,
                            bool recompute_blocks);

/// Mean loss of an objective over a batch, differentiable.
torch::Tensor batch_loss(const TrainableModel& model, const TokenBatch& batch, Objective& objective,
                         const GradientSettings& settings, double scale = 1.0);

/// Mean cross-entropy per token over all windows, in nats.
double validation_loss(const TrainableModel& model, const PackedTokens& tokens,
                       const TrainingSettings& settings);

/// What a step did, for the metrics.
struct StepMetrics {
  std::int64_t step;
  double loss;
  double learning_rate;
  double gradient_norm;
  std::optional<double> validation_loss;
};

Json to_json(const StepMetrics& metrics);

/// What the metrics of all steps say of a run; `tokens` and `resumed_steps` they do not know.
TrainingReport report_of(const Json& metrics);

class Trainer {
 public:
  /// Everything must outlive the trainer; `validation` may be null. `folder` takes the copies; one
  /// that is there is read. Errors: bad_input for text shorter than a step; bad_usage when nothing
  /// is trained.
  Trainer(TrainableModel& model, Objective& objective, const PackedTokens& text,
          const PackedTokens* validation, const TrainingSettings& settings,
          const std::filesystem::path& folder);

  /// Called after each step.
  std::function<void(const StepMetrics&)> on_step;
  /// Called when the first copy is on disk.
  std::function<void()> on_first_copy;

  /// What every step did, as JSON objects, those before the last copy included.
  const Json& metrics() const { return metrics_; }

  /// Trains from the last copy on, or from the beginning. The model is then as the last step left
  /// it. Errors: failed where a loss or a gradient is not finite, naming the step.
  TrainingReport run(Progress& progress);

  /// Puts the weights of the best validation into the model; false where there are none.
  bool load_best();

 private:
  void load_last();
  void save_last();
  double do_step(std::int64_t step, StepMetrics& metrics);
  void validate(StepMetrics& metrics);
  bool is_due(std::int64_t every, std::int64_t step) const;
  std::int64_t windows_per_step() const {
    return settings_.batch_size * settings_.gradient_accumulation_steps;
  }

  TrainableModel& model_;
  Objective& objective_;
  const PackedTokens& text_;
  const PackedTokens* validation_;
  const TrainingSettings& settings_;
  TrainingCopy last_;
  TrainingCopy best_;
  AdamW optimizer_;
  ShuffledOrder order_;
  std::int64_t steps_;
  Json metrics_ = Json::array();
};

}  // namespace terse::train
