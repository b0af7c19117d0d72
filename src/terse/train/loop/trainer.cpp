#include "terse/train/loop/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "terse/core/error.h"
#include "terse/train/functions/recompute.h"
#include "terse/train/loop/learning_rate.h"
#include "terse/train/loop/training_copy.h"
#include "terse/train/losses/cross_entropy.h"
#include "terse/train/torch_operations.h"

namespace terse::train {
namespace {

std::int64_t step_count(const TrainingSettings& settings, std::int64_t windows) {
  const std::int64_t per_step = settings.batch_size * settings.gradient_accumulation_steps;
  if (windows < per_step) {
    throw bad_input(
        "the text has {} windows of {} tokens, fewer than a step of {}; give more text, or a "
        "smaller batch_size or window",
        windows, settings.window, per_step);
  }
  if (settings.max_steps > 0) return settings.max_steps;
  const double walked = settings.num_train_epochs * static_cast<double>(windows);
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(walked) / per_step);
}

NamedTensors values_of(const std::vector<Parameter>& parameters) {
  NamedTensors tensors;
  for (const Parameter& parameter : parameters) {
    tensors.emplace_back(parameter.name, parameter.value.detach());
  }
  return tensors;
}

}  // namespace

Json to_json(const StepMetrics& metrics) {
  Json line = {{"step", metrics.step},
               {"loss", metrics.loss},
               {"learning_rate", metrics.learning_rate},
               {"grad_norm", metrics.gradient_norm}};
  if (metrics.validation_loss) line["validation_loss"] = *metrics.validation_loss;
  return line;
}

TrainingReport report_of(const Json& metrics) {
  TrainingReport report;
  report.steps = static_cast<std::int64_t>(metrics.size());
  const std::int64_t last = std::max<std::int64_t>(1, report.steps / 10);
  for (const Json& line : metrics) {
    const std::int64_t step = get_integer(line, "step");
    if (step > report.steps - last) {
      report.loss += get_number(line, "loss") / static_cast<double>(last);
    }
    if (!has_key(line, "validation_loss")) continue;
    report.validation_loss = get_number(line, "validation_loss");
    if (report.best_validation_loss && *report.best_validation_loss <= *report.validation_loss) {
      continue;
    }
    report.best_validation_loss = report.validation_loss;
    report.best_step = step;
  }
  return report;
}

torch::Tensor hidden_states(const TrainableModel& model, const torch::Tensor& ids,
                            bool recompute_blocks) {
  TorchOperations operations(model, ids);
  Forward forward(model.architecture(), operations);
  torch::Tensor x = forward.embed();
  for (std::int64_t block = 0; block < model.architecture().num_hidden_layers; ++block) {
    if (!recompute_blocks) {
      x = forward.block(block, x);
      continue;
    }
    // The operations of the part live as long as the part: it runs again in the backward pass.
    const auto again = std::make_shared<TorchOperations>(operations);
    x = recomputed(
        [again, block, &model](const torch::Tensor& input) {
          return Forward(model.architecture(), *again).block(block, input);
        },
        x);
  }
  return operations.before_head(forward.finish(x));
}

torch::Tensor batch_loss(const TrainableModel& model, const TokenBatch& batch, Objective& objective,
                         const GradientSettings& settings, double scale) {
  const torch::Tensor hidden = hidden_states(model, batch.ids, settings.gradient_checkpointing);
  const auto loss = objective.loss(batch);
  return chunked_loss(hidden, model.head().weight(), model.head_bias(), *loss,
                      scale / static_cast<double>(hidden.size(0)), settings.loss_rows);
}

double validation_loss(const TrainableModel& model, const PackedTokens& tokens,
                       const TrainingSettings& settings) {
  const torch::NoGradGuard no_grad;
  double sum = 0;
  for (std::int64_t first = 0; first < tokens.windows(); first += settings.batch_size) {
    std::vector<std::int64_t> numbers;
    for (std::int64_t i = first; i < std::min(first + settings.batch_size, tokens.windows()); ++i) {
      numbers.push_back(i);
    }
    const TokenBatch batch = tokens.batch(numbers, model.device());
    CrossEntropy loss(batch.targets);
    sum += loss_sum(hidden_states(model, batch.ids, false), model.head().weight(),
                    model.head_bias(), loss, settings.loss_rows);
  }
  return sum / static_cast<double>(tokens.windows() * tokens.window());
}

Trainer::Trainer(TrainableModel& model, Objective& objective, const PackedTokens& text,
                 const PackedTokens* validation, const TrainingSettings& settings,
                 const std::filesystem::path& folder)
    : model_(model),
      objective_(objective),
      text_(text),
      validation_(validation),
      settings_(settings),
      last_(folder, "last"),
      best_(folder, "best"),
      optimizer_(model.parameters(), settings),
      order_(text.windows(), settings.seed),
      steps_(step_count(settings, text.windows())) {
  if (optimizer_.parameters().empty()) throw bad_usage("nothing is chosen to be trained");
  load_last();
}

bool Trainer::is_due(std::int64_t every, std::int64_t step) const {
  return step == steps_ || (every > 0 && step % every == 0);
}

TrainingReport Trainer::run(Progress& progress) {
  const std::int64_t tokens_per_step = windows_per_step() * text_.window();
  const std::int64_t resumed = optimizer_.steps();
  progress.begin("training", steps_ * tokens_per_step, "tokens");
  progress.advance(resumed * tokens_per_step);
  for (std::int64_t step = resumed; step < steps_; ++step) {
    StepMetrics metrics{step + 1, 0, learning_rate(settings_, step, steps_), 0, {}};
    do_step(step, metrics);
    if (validation_ != nullptr && is_due(settings_.eval_steps, step + 1)) validate(metrics);
    metrics_.push_back(to_json(metrics));
    if (on_step) on_step(metrics);
    if (is_due(settings_.save_steps, step + 1)) save_last();
    progress.advance(tokens_per_step);
    progress.note(fmt::format("loss {:.4f}", metrics.loss));
  }
  progress.end();
  TrainingReport report = report_of(metrics_);
  report.resumed_steps = resumed;
  report.tokens = (steps_ - resumed) * tokens_per_step;
  return report;
}

double Trainer::do_step(std::int64_t step, StepMetrics& metrics) {
  with_context(fmt::format("step {}", step + 1), [&] {
    optimizer_.zero_gradients();
    const double share = 1.0 / static_cast<double>(settings_.gradient_accumulation_steps);
    for (std::int64_t part = 0; part < settings_.gradient_accumulation_steps; ++part) {
      const std::int64_t first = step * windows_per_step() + part * settings_.batch_size;
      const TokenBatch batch = text_.batch(order_.at(first, settings_.batch_size), model_.device());
      const torch::Tensor loss = batch_loss(model_, batch, objective_, settings_, share);
      metrics.loss += loss.item<double>();
      if (!std::isfinite(metrics.loss)) {
        throw failure("the loss is not finite; the last copy is kept: try a lower learning_rate");
      }
      loss.backward();
    }
    metrics.gradient_norm = optimizer_.gradient_norm();
    optimizer_.step(metrics.learning_rate, metrics.gradient_norm);
  });
  return metrics.loss;
}

void Trainer::validate(StepMetrics& metrics) {
  metrics.validation_loss = validation_loss(model_, *validation_, settings_);
  const auto best = report_of(metrics_).best_validation_loss;
  if (best && *best <= *metrics.validation_loss) return;
  best_.write(metrics.step, values_of(optimizer_.parameters()), {{"step", metrics.step}});
}

void Trainer::save_last() {
  last_.write(optimizer_.steps(), optimizer_.state(),
              {{"steps", optimizer_.steps()}, {"metrics", metrics_}});
  if (on_first_copy) std::exchange(on_first_copy, {})();
}

// The best weights are written before the last copy that tells of them: where they are of a later
// step than the copy, the steps in between come to the same ones again.
void Trainer::load_last() {
  const std::optional<Json> about = last_.about();
  if (!about) return;
  last_.read(optimizer_.state());
  optimizer_.set_steps(get_integer(*about, "steps"));
  metrics_ = get_array(*about, "metrics");
}

bool Trainer::load_best() {
  if (!best_.about()) return false;
  best_.read(values_of(optimizer_.parameters()));
  return true;
}

}  // namespace terse::train
