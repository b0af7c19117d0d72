#include "recipe_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "terminal.h"
#include "terse/core/error.h"
#include "terse/core/method_registry.h"
#include "terse/core/text.h"
#include "terse/recipe/compress.h"
#include "terse/recipe/recipe_check.h"
#include "terse/recipe/recipe_text.h"

namespace terse::cli {
namespace {

std::string flag_name(const std::string& option) {
  return replace_all(option, "_", "-");
}

std::string option_help(const MethodOption& option) {
  std::string help = fmt::format("{} (default {}", option.help, option_text(option.default_value));
  if (!option.choices.empty()) help += fmt::format("; one of {}", fmt::join(option.choices, ", "));
  return help + ")";
}

// One flag for every option of every registered method; what was given is checked against the
// chosen method's own list when the run begins.
void add_method_options(CLI::App& command, RecipeOptions& options) {
  for (const auto& entry : MethodRegistry::instance().all()) {
    for (const MethodOption& option : entry.second.options) {
      const std::string flag = flag_name(option.name);
      if (command.get_option_no_throw("--" + flag) != nullptr) continue;
      const std::string help = option_help(option);
      CLI::Option* added = nullptr;
      if (std::holds_alternative<bool>(option.default_value)) {
        added = command.add_flag_function(
            fmt::format("--{0},!--no-{0}", flag),
            [&options, name = option.name](std::int64_t count) {
              options.method_options[name] = count > 0 ? "true" : "false";
            },
            help);
      } else {
        added = command.add_option_function<std::string>(
            "--" + flag,
            [&options, name = option.name](const std::string& value) {
              options.method_options[name] = value;
            },
            help);
      }
      added->group("Options of methods");
    }
  }
}

// A flag that changes one field of the recipe when it is given.
template <class Value, class Setter>
CLI::Option* add_change(CLI::App& command, RecipeOptions& options, const std::string& flag,
                        const std::string& help, const Setter& set) {
  return command.add_option_function<Value>(
      flag,
      [&options, set](const Value& value) {
        options.changes.push_back([set, value](Recipe& recipe) { set(recipe, value); });
      },
      help);
}

void add_calibration_options(CLI::App& command, RecipeOptions& options) {
  const std::string group = "Calibration (by default on text that the model generates itself)";
  add_change<std::vector<std::string>>(command, options, "--calibration-text",
                                       "Files or directories of text (.jsonl: a text a line)",
                                       [](Recipe& recipe, const std::vector<std::string>& texts) {
                                         recipe.calibration.texts.assign(texts.begin(),
                                                                         texts.end());
                                         recipe.calibration.token_file.clear();
                                       })
      ->group(group);
  add_change<std::string>(
      command, options, "--text-key", "Key of the text in .jsonl lines (default text)",
      [](Recipe& recipe, const std::string& key) { recipe.calibration.text_key = key; })
      ->group(group);
  add_change<std::string>(command, options, "--calibration-tokens",
                          "File of token ids (.npy or .json)",
                          [](Recipe& recipe, const std::string& file) {
                            recipe.calibration.token_file = file;
                            recipe.calibration.texts.clear();
                          })
      ->excludes("--calibration-text")
      ->group(group);
  add_change<std::int64_t>(
      command, options, "--calibration-samples", "Windows to calibrate on (default 128)",
      [](Recipe& recipe, std::int64_t samples) { recipe.calibration.samples = samples; })
      ->check(at_least(1))
      ->group(group);
  add_change<std::int64_t>(
      command, options, "--calibration-window",
      "Tokens of a window (default: the model's context, up to 2048)",
      [](Recipe& recipe, std::int64_t window) { recipe.calibration.window = window; })
      ->check(at_least(1))
      ->group(group);
  add_change<std::uint64_t>(
      command, options, "--seed", "Seed of the choice or generation of windows (default 0)",
      [](Recipe& recipe, std::uint64_t seed) { recipe.calibration.seed = seed; })
      ->check(at_least(0))
      ->group(group);
}

void add_training_options(CLI::App& command, RecipeOptions& options) {
  const std::string group = "Training, of methods that learn";
  add_change<std::vector<std::string>>(
      command, options, "--training-text", "Files or directories of text (.jsonl: a text a line)",
      [](Recipe& recipe, const std::vector<std::string>& texts) {
        recipe.training.text.texts.assign(texts.begin(), texts.end());
        recipe.training.text.token_file.clear();
      })
      ->group(group);
  add_change<std::string>(command, options, "--training-tokens",
                          "File of token ids (.npy or .json)",
                          [](Recipe& recipe, const std::string& file) {
                            recipe.training.text.token_file = file;
                            recipe.training.text.texts.clear();
                          })
      ->excludes("--training-text")
      ->group(group);
  add_change<std::int64_t>(
      command, options, "--training-window",
      "Tokens predicted at a time (default: the model's context, up to 2048)",
      [](Recipe& recipe, std::int64_t window) { recipe.training.window = window; })
      ->check(at_least(1))
      ->group(group);
  add_change<std::string>(
      command, options, "--teacher",
      "Model directory of the teacher of steps that learn from one (default: the model itself)",
      [](Recipe& recipe, const std::string& folder) { recipe.training.teacher = folder; })
      ->group(group);
  add_change<std::string>(
      command, options, "--teacher-outputs",
      "File of what the teacher predicts: written where it is absent, and read by every later run "
      "with the same model, text and window",
      [](Recipe& recipe, const std::string& file) { recipe.training.teacher_outputs = file; })
      ->group(group);
  add_change<std::int64_t>(
      command, options, "--teacher-top-k",
      "Most probable tokens of a position that the file holds (default 64)",
      [](Recipe& recipe, std::int64_t top_k) { recipe.training.teacher_top_k = top_k; })
      ->check(at_least(1))
      ->group(group);
}

void add_importance_option(CLI::App& command, RecipeOptions& options) {
  add_change<std::string>(
      command, options, "--importance",
      "Scores of the model's weights that terse importance made, for methods that need them",
      [](Recipe& recipe, const std::string& file) { recipe.importance = file; });
}

void add_output_options(CLI::App& command, RecipeOptions& options) {
  add_change<int>(command, options, "--embeddings-bits",
                  "Quantise embedding and head too, group-wise, to so many bits (8 when no number "
                  "is given)",
                  [](Recipe& recipe, int bits) { recipe.output.embeddings_bits = bits; })
      ->expected(0, 1)
      ->default_str("8")
      ->check(CLI::Range(2, 8));
  command.add_flag_callback(
      "--dequantize",
      [&options] {
        options.changes.emplace_back([](Recipe& recipe) { recipe.output.dequantize = true; });
      },
      "Write dense weights in the original type, for programs that read no packed ones");
  command.add_flag_callback(
      "--pad",
      [&options] {
        options.changes.emplace_back([](Recipe& recipe) { recipe.output.pad = true; });
      },
      "Write blocks of different shapes with zeros up to one shape, for programs that know no "
      "other");
  command.add_flag_callback(
      "--expand",
      [&options] {
        options.changes.emplace_back([](Recipe& recipe) { recipe.output.expand = true; });
      },
      "Write weights that blocks share once for each block, for programs that know no sharing");
  add_change<std::string>(command, options, "--sparse",
                          "How sparse weights are stored: in the smallest layout, or dense with "
                          "their zeros for other programs (default smallest)",
                          [](Recipe& recipe, const std::string& sparse) {
                            recipe.output.sparse =
                                sparse == "dense" ? SparseStorage::dense : SparseStorage::smallest;
                          })
      ->check(CLI::IsMember({"smallest", "dense"}));
  command.add_flag_callback(
      "--no-true-sequential",
      [&options] {
        options.changes.emplace_back([](Recipe& recipe) { recipe.true_sequential = false; });
      },
      "Take all statistics of a block before any of its linears is compressed");
}

}  // namespace

Recipe RecipeOptions::recipe() const {
  if (file.empty() == method.empty()) {
    throw bad_usage("give either --method or --recipe; `terse methods` lists the methods");
  }
  Recipe recipe;
  if (file.empty()) {
    recipe = one_step_recipe(method, method_options);
    recipe.steps.front().targets = targets;
    recipe.steps.front().ignore = ignore;
  } else {
    if (!method_options.empty() || !targets.empty() || !ignore.empty()) {
      throw bad_usage("options of methods belong into the recipe, not beside --recipe");
    }
    recipe = load_recipe(file);
  }
  for (const auto& change : changes) change(recipe);
  check_recipe(recipe);
  return recipe;
}

void RecipeOptions::blame(const std::function<void()>& body) const {
  try {
    body();
  } catch (const Error& error) {
    if (file.empty() || error.kind() != ErrorKind::usage) throw;
    throw bad_input("{}: {}", file, error.what());
  }
}

void add_recipe_options(CLI::App& command, RecipeOptions& options, bool positional) {
  command.add_option(positional ? "recipe,--recipe" : "--recipe", options.file,
                     "Recipe: a YAML file, or the name of a ready-made one");
  command.add_option("--method", options.method, "Method: a recipe of one step, made of flags");
  command.add_option("--targets", options.targets,
                     "Linears to work on (default all): attention, mlp, q_proj …, blocks 0-3, or "
                     "regular expressions that match in their names");
  command.add_option("--ignore", options.ignore, "Linears to leave as they are, in the same words");
  add_method_options(command, options);
  add_calibration_options(command, options);
  add_training_options(command, options);
  add_importance_option(command, options);
  add_output_options(command, options);
}

std::string method_list() {
  std::string list;
  for (const auto& entry : MethodRegistry::instance().all()) {
    list += fmt::format("  {}: {}\n", entry.first, entry.second.summary);
  }
  return list;
}

}  // namespace terse::cli
