// terse compress: makes a model smaller.
#include <fmt/format.h>

#include "commands.h"
#include "terminal.h"
#include "terse/core/error.h"
#include "terse/core/text.h"
#include "terse/recipe/compress.h"

namespace terse::cli {
namespace {

struct Options {
  std::string model;
  std::string output;
  CompressionSettings settings;
  bool json = false;
};

Json to_json(const Options& options, const CompressionReport& report) {
  Json json = {{"method", options.settings.method},
               {"output", options.output},
               {"parameters", report.parameters},
               {"bytes_before", report.bytes_before},
               {"bytes", report.bytes_after},
               {"bits_per_weight_before", report.bits_per_weight_before},
               {"bits_per_weight", report.bits_per_weight},
               {"linear_bits_per_weight", report.linear_bits_per_weight},
               {"calibration_tokens", report.calibration_tokens},
               {"calibration_source", report.calibration_source},
               {"linears", Json::array()}};
  for (const LinearReport& linear : report.linears) {
    Json row = {{"module", linear.module},
                {"kind", linear.kind},
                {"relative_weight_error", linear.relative_weight_error}};
    if (linear.relative_output_error) row["relative_output_error"] = *linear.relative_output_error;
    json["linears"].push_back(std::move(row));
  }
  return json;
}

void print(const Options& options, const CompressionReport& report) {
  fmt::print("{:<48}{:>20}{:>14}{:>14}\n", "linear", "stored as", "weight error", "output error");
  for (const LinearReport& linear : report.linears) {
    fmt::print(
        "{:<48}{:>20}{:>14.3e}{:>14}\n", linear.module, linear.kind, linear.relative_weight_error,
        linear.relative_output_error ? fmt::format("{:.3e}", *linear.relative_output_error) : "-");
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
  const CompressionReport report =
      compress(options.model, options.output, options.settings, progress);
  if (options.json) {
    Json json = to_json(options, report);
    meter.add_to(json);
    print_json(json);
  } else {
    print(options, report);
    fmt::print("{}\n", meter.text());
  }
}

std::string flag_name(const std::string& option) {
  return "--" + replace_all(option, "_", "-");
}

std::string option_help(const MethodOption& option) {
  std::string help = fmt::format("{} (default {}", option.help, option_text(option.default_value));
  if (!option.choices.empty()) help += fmt::format("; one of {}", fmt::join(option.choices, ", "));
  return help + ")";
}

// One flag for every option of every registered method; what was given is checked against the
// chosen method's own list when the run begins.
void add_method_options(CLI::App& command, CompressionSettings& settings) {
  for (const auto& entry : MethodRegistry::instance().all()) {
    for (const MethodOption& option : entry.second.options) {
      const std::string flag = flag_name(option.name);
      if (command.get_option_no_throw(flag) != nullptr) continue;
      const auto keep = [&settings, name = option.name](const std::string& value) {
        settings.options[name] = value;
      };
      const std::string help = option_help(option);
      CLI::Option* added = std::holds_alternative<bool>(option.default_value)
                               ? command.add_flag_callback(
                                     flag, [keep] { keep("true"); }, help)
                               : command.add_option_function<std::string>(flag, keep, help);
      added->group("Options of methods");
    }
  }
}

std::string method_list() {
  std::string list;
  for (const auto& entry : MethodRegistry::instance().all()) {
    list += fmt::format("  {}: {}\n", entry.first, entry.second.summary);
  }
  return list;
}

void add_calibration_options(CLI::App& command, CalibrationSettings& calibration) {
  const std::string group = "Calibration (by default on text that the model generates itself)";
  command
      .add_option("--calibration-text", calibration.texts,
                  "Files or directories of text (.jsonl: a text a line)")
      ->group(group);
  command.add_option("--text-key", calibration.text_key, "Key of the text in .jsonl lines")
      ->capture_default_str()
      ->group(group);
  command
      .add_option("--calibration-tokens", calibration.token_file,
                  "File of token ids (.npy or .json)")
      ->excludes("--calibration-text")
      ->group(group);
  command.add_option("--calibration-samples", calibration.samples, "Windows to calibrate on")
      ->capture_default_str()
      ->check(at_least(1))
      ->group(group);
  command
      .add_option("--calibration-window", calibration.window,
                  "Tokens of a window (default: the model's context, up to 2048)")
      ->check(at_least(1))
      ->group(group);
  command.add_option("--seed", calibration.seed, "Seed of the choice or generation of windows")
      ->capture_default_str()
      ->check(at_least(0))
      ->group(group);
}

}  // namespace

void add_compress(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CompressionSettings& settings = options->settings;
  CLI::App* command =
      app.add_subcommand("compress", "Make a model smaller\n\nMethods:\n" + method_list());
  command->footer(
      "Examples:\n"
      "  terse compress models/docs-llama -o w4 --method gptq --bits 4 --group-size 128\n"
      "  terse compress models/docs-llama -o w3 --method gptq --bits 3 --calibration-text "
      "notes.txt\n"
      "  terse compress models/docs-llama -o w8 --method rtn --bits 8 --strategy channel "
      "--symmetric\n"
      "  terse compress models/docs-llama -o plain --method gptq --bits 4 --dequantize");
  command->add_option("model", options->model, "Model directory")->required();
  command->add_option("-o,--output", options->output, "Directory to create")->required();
  command->add_option("--method", settings.method, "Method")->required();
  add_method_options(*command, settings);
  add_calibration_options(*command, settings.calibration);
  command->add_option(
      "--ignore", settings.ignore,
      "Linears to leave as they are: regular expressions that match in their names");
  command
      ->add_option("--embeddings-bits", settings.embeddings_bits,
                   "Quantise embedding and head too, group-wise, to so many bits (8 when no number "
                   "is given)")
      ->expected(0, 1)
      ->default_str("8")
      ->check(CLI::Range(2, 8));
  command->add_flag("!--no-true-sequential", settings.true_sequential,
                    "Take all statistics of a block before any of its linears is compressed");
  command->add_flag(
      "--dequantize", settings.dequantize,
      "Write dense weights in the original type, for programs that read no packed ones");
  command->add_flag("--force", settings.force, "Replace the output directory if it exists");
  add_json_flag(*command, options->json);
  command->callback([options] { run(*options); });
}

}  // namespace terse::cli
