// terse merge: puts a LoRA adapter into the weights of its base.
#include "terse/recipe/merge.h"

#include <fmt/format.h>

#include "commands.h"
#include "terminal.h"
#include "terse/core/text.h"

namespace terse::cli {
namespace {

struct Options {
  std::string base;
  std::string adapter;
  std::string output;
  MergeSettings settings;
  bool json = false;
};

Json to_json(const Options& options, const MergeReport& report) {
  Json json = {{"output", options.output},
               {"bytes_before", report.bytes_before},
               {"bytes", report.bytes_after},
               {"linears", Json::array()}};
  for (const LinearReport& linear : report.linears) {
    json["linears"].push_back({{"module", linear.module},
                               {"kind", linear.kind},
                               {"relative_weight_change", linear.relative_weight_error}});
  }
  return json;
}

void print(const Options& options, const MergeReport& report) {
  fmt::print("{:<48}{:>28}{:>14}\n", "linear", "stored as", "change");
  for (const LinearReport& linear : report.linears) {
    fmt::print("{:<48}{:>28}{:>14.3e}\n", linear.module, linear.kind, linear.relative_weight_error);
  }
  fmt::print("\n{}: {} -> {}, {} linears changed\n", options.output,
             bytes_text(report.bytes_before), bytes_text(report.bytes_after),
             report.linears.size());
}

void run(const Options& options) {
  const RunMeter meter;
  TerminalProgress progress;
  const MergeReport report =
      merge(options.base, options.adapter, options.output, options.settings, progress);
  show(
      options.json, meter, [&] { return to_json(options, report); },
      [&] { print(options, report); });
}

}  // namespace

void add_merge(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "merge", "Put a LoRA adapter in PEFT's format into the weights of its base");
  command->footer(
      "Examples:\n"
      "  terse merge models/docs-llama adapter -o merged\n"
      "  terse merge w4 adapter -o w4-tuned\n"
      "  terse merge w4 adapter -o plain --dequantize\n"
      "Dense weights stay dense. Over integers the adapter becomes a low-rank sum beside them, or, "
      "with DoRA or --dequantize, dense weights.");
  command->add_option("base", options->base, "Model directory that the adapter was trained on")
      ->required();
  command
      ->add_option("adapter", options->adapter,
                   "Folder with adapter_config.json and adapter_model.safetensors")
      ->required();
  command->add_option("-o,--output", options->output, "Directory to create")->required();
  command->add_flag("--dequantize", options->settings.dequantize,
                    "Write every weight dense, in the model's type");
  command->add_flag("--force", options->settings.force,
                    "Replace the output directory if it exists");
  add_json_flag(*command, options->json);
  command->callback([options] { run(*options); });
}

}  // namespace terse::cli
