// terse importance: how much the loss depends on weights, heads and blocks, from gradients.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "commands.h"
#include "gradient_options.h"
#include "terminal.h"
#include "terse/core/text.h"
#include "terse/methods/training.h"
#include "text_source.h"

namespace terse::cli {
namespace {

struct Options {
  ImportanceTask task;
  bool json = false;
};

Json to_json(const Options& options, const ImportanceReport& report) {
  Json json = {{"output", options.task.output.string()},
               {"windows", report.windows},
               {"window", report.window},
               {"tokens", report.tokens()},
               {"loss", report.loss},
               {"bytes", report.bytes},
               {"blocks", Json::array()}};
  for (const BlockImportance& block : report.blocks) {
    json["blocks"].push_back(
        {{"fisher", block.fisher},
         {"taylor", block.taylor},
         {"heads", {{"fisher", block.head_fisher}, {"taylor", block.head_taylor}}}});
  }
  return json;
}

void print(const Options& options, const ImportanceReport& report, double seconds) {
  fmt::print("{:>5}{:>12}{:>12}  {}\n", "block", "fisher", "taylor", "taylor of its heads");
  for (std::size_t block = 0; block < report.blocks.size(); ++block) {
    const BlockImportance& b = report.blocks[block];
    fmt::print("{:>5}{:>12.3e}{:>12.3e}  {:.1e}\n", block, b.fisher, b.taylor,
               fmt::join(b.head_taylor, " "));
  }
  fmt::print("\n{}: {}, scored on {} windows of {} tokens, loss {:.4f} nats per token\n",
             options.task.output.string(), bytes_text(report.bytes), report.windows, report.window,
             report.loss);
  print_rate(report.tokens(), seconds);
}

void run(const Options& options) {
  const RunMeter meter;
  TerminalProgress progress;
  const ImportanceReport report = training_module().score(options.task, progress);
  show(
      options.json, meter, [&] { return to_json(options, report); },
      [&] { print(options, report, meter.seconds()); });
}

}  // namespace

void add_importance(CLI::App& app) {
  auto options = std::make_shared<Options>();
  ImportanceTask& task = options->task;
  CLI::App* command = app.add_subcommand(
      "importance",
      "Score weights, rows, heads and blocks by their gradients, for methods that prune by them");
  command->footer(
      "Examples:\n"
      "  terse importance models/docs-llama -o scores.safetensors --text notes/\n"
      "  terse compress models/docs-llama -o half --method taylor --importance "
      "scores.safetensors\n"
      "The model and two scores of every weight of its blocks are held in memory, in float32.");
  command->add_option("model", task.input, "Model directory")->required();
  command->add_option("-o,--output", task.output, "File to write (.safetensors)")->required();
  add_text_source(*command, task.text, "", "To score on");
  command
      ->add_option("--samples", task.samples,
                   "Windows to score on, spread evenly over the text; 0: all of them")
      ->check(at_least(0))
      ->capture_default_str();
  command
      ->add_option("--window", task.window,
                   "Tokens of a window (default: the model's context, up to 2048, or the rows of a "
                   "matrix of token ids)")
      ->check(at_least(2));
  add_gradient_options(*command, task.gradients);
  command->add_flag("--force", task.force, "Replace the output if it exists");
  add_json_flag(*command, options->json);
  command->callback([options] { run(*options); });
}

}  // namespace terse::cli
