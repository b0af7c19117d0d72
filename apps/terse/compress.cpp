// terse compress: makes a model smaller.
#include "terse/recipe/compress.h"

#include <fmt/format.h>

#include "commands.h"
#include "recipe_options.h"
#include "terminal.h"
#include "terse/core/error.h"
#include "terse/core/text.h"

namespace terse::cli {
namespace {

struct Options {
  std::string model;
  std::string output;
  RecipeOptions recipe;
  RunSettings settings;
  bool json = false;
};

Json to_json(const Options& options, const Recipe& recipe, const CompressionReport& report) {
  Json json = {{"method", Json::array()},
               {"output", options.output},
               {"parameters", report.parameters},
               {"bytes_before", report.bytes_before},
               {"bytes", report.bytes_after},
               {"bits_per_weight_before", report.bits_per_weight_before},
               {"bits_per_weight", report.bits_per_weight},
               {"linear_bits_per_weight", report.linear_bits_per_weight},
               {"calibration_tokens", report.calibration_tokens},
               {"calibration_source", report.calibration_source},
               {"resumed_blocks", report.resumed_blocks},
               {"notes", report.notes},
               {"linears", Json::array()}};
  for (const RecipeStep& step : recipe.steps) json["method"].push_back(step.method);
  if (recipe.steps.size() == 1) json["method"] = recipe.steps.front().method;
  for (const LinearReport& linear : report.linears) {
    Json row = terse::to_json(linear);
    row.erase("storage");
    json["linears"].push_back(std::move(row));
  }
  return json;
}

std::string optional_text(const std::optional<double>& value, std::string_view unit) {
  if (!value) return "-";
  return unit == "%" ? fmt::format("{:.1f} %", 100.0 * *value) : fmt::format("{:.3e}", *value);
}

void print(const Options& options, const CompressionReport& report) {
  if (!report.linears.empty()) {
    fmt::print("{:<48}{:>20}{:>10}{:>14}{:>14}\n", "linear", "stored as", "zeros", "weight error",
               "output error");
  }
  for (const LinearReport& linear : report.linears) {
    fmt::print("{:<48}{:>20}{:>10}{:>14.3e}{:>14}\n", linear.module, linear.kind,
               optional_text(linear.sparsity, "%"), linear.relative_weight_error,
               optional_text(linear.relative_output_error, ""));
  }
  if (!report.notes.empty()) fmt::print("\n");
  for (const std::string& note : report.notes) fmt::print("note: {}\n", note);
  if (report.resumed_blocks > 0) {
    fmt::print("\ncontinued after {} blocks that an earlier run had finished",
               report.resumed_blocks);
  }
  if (!report.calibration_source.empty()) {
    fmt::print("\ncalibrated on {} tokens ({})", count_text(report.calibration_tokens),
               report.calibration_source);
  }
  fmt::print(
      "\n{}: {} -> {}, {:.3f} -> {:.3f} bits per weight ({:.3f} in the compressed linears)\n",
      options.output, bytes_text(report.bytes_before), bytes_text(report.bytes_after),
      report.bits_per_weight_before, report.bits_per_weight, report.linear_bits_per_weight);
}

void run(const Options& options) {
  const RunMeter meter;
  TerminalProgress progress;
  const Recipe recipe = options.recipe.recipe();
  CompressionReport report;
  options.recipe.blame([&] {
    report = compress(options.model, options.output, recipe, options.settings, progress);
  });
  show(
      options.json, meter, [&] { return to_json(options, recipe, report); },
      [&] { print(options, report); });
}

}  // namespace

void add_compress(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("compress", "Make a model smaller\n\nMethods:\n" + method_list());
  command->footer(
      "Examples:\n"
      "  terse compress models/docs-llama -o w4 --method gptq --bits 4 --group-size 128\n"
      "  terse compress models/docs-llama -o w3 --method gptq --bits 3 --calibration-text "
      "notes.txt\n"
      "  terse compress models/docs-llama -o half --recipe sparse50-w4 --memory 4GiB\n"
      "  terse compress models/docs-llama -o w8 --method rtn --bits 8 --strategy channel "
      "--symmetric\n"
      "  terse compress models/docs-llama -o plain --method gptq --bits 4 --dequantize\n"
      "A run that was interrupted goes on when the same command is given again.");
  command->add_option("model", options->model, "Model directory")->required();
  command->add_option("-o,--output", options->output, "Directory to create")->required();
  add_recipe_options(*command, options->recipe);
  add_memory_option(*command, options->settings.memory);
  command
      ->add_option("--activation-interval", options->settings.activation_interval,
                   "Seconds between copies of the activations on disk, which a run that goes on "
                   "need not compute again (default: 60)")
      ->check(CLI::NonNegativeNumber);
  command->add_flag("--restart", options->settings.restart,
                    "Begin anew where an unfinished output would be continued");
  command->add_flag("--force", options->settings.force,
                    "Replace the output directory if it exists");
  add_json_flag(*command, options->json);
  command->callback([options] { run(*options); });
}

}  // namespace terse::cli
