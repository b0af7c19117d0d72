// terse train: learns from text, from scratch or from where a model is.
#include <fmt/format.h>

#include "commands.h"
#include "gradient_options.h"
#include "terminal.h"
#include "terse/methods/training.h"
#include "text_source.h"

namespace terse::cli {
namespace {

struct Options {
  TrainingTask task;
  bool json = false;
};

void add_schedule(CLI::App& command, TrainingSettings& s) {
  command.add_option("--max-steps", s.max_steps, "Steps (default: as many as the epochs have)")
      ->check(at_least(1));
  command.add_option("--num-train-epochs", s.num_train_epochs, "Walks over the text")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      .add_option("--window", s.window,
                  "Tokens predicted at a time (default: the model's context, up to 2048)")
      ->check(at_least(1));
  command.add_option("--batch-size", s.batch_size, "Windows that are computed together")
      ->check(at_least(1))
      ->capture_default_str();
  command
      .add_option("--gradient-accumulation-steps", s.gradient_accumulation_steps,
                  "Batches of a step")
      ->check(at_least(1))
      ->capture_default_str();
  command.add_option("--learning-rate", s.learning_rate, "Highest learning rate")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      .add_option("--lr-scheduler-type", s.lr_scheduler_type,
                  "constant, cosine, or wsd: constant, with a linear decay at the end")
      ->check(CLI::IsMember({"constant", "cosine", "wsd"}))
      ->capture_default_str();
  command.add_option("--warmup-steps", s.warmup_steps, "Steps in which the learning rate rises")
      ->check(at_least(0))
      ->capture_default_str();
  command.add_option("--decay-share", s.decay_share, "Of the steps, that wsd's decay takes")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command
      .add_option("--min-lr-rate", s.min_lr_rate, "Last learning rate, as a share of the highest")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
}

void add_optimizer(CLI::App& command, TrainingSettings& s) {
  command.add_option("--weight-decay", s.weight_decay, "Of AdamW; norms and biases have none")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command.add_option("--adam-beta1", s.adam_beta1, "Decay of the mean of the gradients")
      ->check(CLI::Range(0.0, 0.9999))
      ->capture_default_str();
  command.add_option("--adam-beta2", s.adam_beta2, "Decay of the mean of their squares")
      ->check(CLI::Range(0.0, 0.99999))
      ->capture_default_str();
  command.add_option("--adam-epsilon", s.adam_epsilon, "Added to the root of that mean")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--max-grad-norm", s.max_grad_norm, "Gradients are clipped to it; 0: not")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command.add_option("--seed", s.seed, "Of the order of the text and of random weights")
      ->capture_default_str();
}

Json to_json(const Options& options, const TrainingReport& report) {
  Json json = {{"output", options.task.output.string()},
               {"steps", report.steps},
               {"resumed_steps", report.resumed_steps},
               {"tokens", report.tokens},
               {"loss", report.loss},
               {"best_step", report.best_step}};
  if (report.validation_loss) json["validation_loss"] = *report.validation_loss;
  if (report.best_validation_loss) json["best_validation_loss"] = *report.best_validation_loss;
  return json;
}

void print(const Options& options, const TrainingReport& report, double seconds) {
  if (report.resumed_steps > 0) {
    fmt::print("continued after {} steps that an earlier run had done\n", report.resumed_steps);
  }
  fmt::print("{}: {} steps, loss {:.4f} nats per token over the last tenth\n",
             options.task.output.string(), report.steps, report.loss);
  if (report.validation_loss) {
    fmt::print("validation loss {:.4f}; best {:.4f} at step {}, in {}\n", *report.validation_loss,
               *report.best_validation_loss, report.best_step,
               (options.task.output / "best").string());
  }
  print_rate(report.tokens, seconds);
}

void run(const Options& options) {
  const RunMeter meter;
  TerminalProgress progress;
  const TrainingReport report = training_module().train(options.task, progress);
  show(
      options.json, meter, [&] { return to_json(options, report); },
      [&] { print(options, report, meter.seconds()); });
}

}  // namespace

void add_train(CLI::App& app) {
  auto options = std::make_shared<Options>();
  TrainingTask& task = options->task;
  CLI::App* command = app.add_subcommand(
      "train", "Train all weights of a model on text, from scratch or from where they are");
  command->footer(
      "Examples:\n"
      "  terse train models/docs-llama -o tuned --text notes/ --learning-rate 3e-4\n"
      "  terse train models/docs-llama -o fresh --from-scratch --text books/ --validation-text "
      "held-out.txt --eval-steps 100 --max-steps 2000\n"
      "A run that was interrupted goes on when the same command is given again. The output holds "
      "the last weights, training.jsonl with a line a step and, with validation, the best weights "
      "in best/.");
  command->add_option("model", task.input, "Model directory")->required();
  command->add_option("-o,--output", task.output, "Directory to create")->required();
  command->add_flag(
      "--from-scratch", task.from_scratch,
      "Begin from random weights: of the model, config.json and tokenizer are enough");
  add_text_source(*command, task.text, "", "To learn from");
  add_text_source(*command, task.validation, "validation-", "To validate on");
  add_schedule(*command, task.settings);
  add_optimizer(*command, task.settings);
  command
      ->add_option("--eval-steps", task.settings.eval_steps,
                   "Steps between validations (default: one at the end)")
      ->check(at_least(1));
  command
      ->add_option("--save-steps", task.settings.save_steps,
                   "Steps between copies that a killed run goes on from")
      ->check(at_least(1))
      ->capture_default_str();
  add_gradient_options(*command, task.settings);
  command->add_option("--metrics", task.metrics, "File that a JSON line a step is appended to");
  command->add_flag("--restart", task.restart,
                    "Begin anew where an unfinished output would be continued");
  command->add_flag("--force", task.force, "Replace the output directory if it exists");
  add_json_flag(*command, options->json);
  command->callback([options] { run(*options); });
}

}  // namespace terse::cli
