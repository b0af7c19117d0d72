#include "terse/recipe/recipe.h"

#include <filesystem>
#include <string_view>
#include <variant>

#include "terse/core/method_registry.h"
#include "terse/recipe/recipe_check.h"

namespace terse {
namespace {

Json value_json(const MethodInfo& info, const MethodOption& option, const std::string& text) {
  std::map<std::string, std::string> given;
  if (!text.empty()) given[option.name] = text;
  const MethodOptions options(info, given);
  if (std::holds_alternative<bool>(option.default_value)) return options.flag(option.name);
  if (std::holds_alternative<std::int64_t>(option.default_value)) {
    return options.integer(option.name);
  }
  if (std::holds_alternative<double>(option.default_value)) return options.number(option.name);
  return options.text(option.name);
}

Json option_json(const MethodInfo& info, const MethodOption& option, const RecipeStep& step) {
  const auto found = step.options.find(option.name);
  if (found == step.options.end()) return value_json(info, option, "");
  Json plain = value_json(info, option, found->second.value);
  if (found->second.table.empty()) return plain;
  Json table = Json::array();
  for (const auto& [selector, value] : found->second.table) {
    table.push_back({{"selector", selector}, {"value", value_json(info, option, value)}});
  }
  return {{"default", std::move(plain)}, {"table", std::move(table)}};
}

Json step_json(const RecipeStep& step) {
  const MethodInfo& info = MethodRegistry::instance().find(step.method);
  Json json = {{"method", step.method},
               {"targets", step.targets},
               {"ignore", step.ignore},
               {"remeasure", step.remeasure}};
  for (const MethodOption& option : info.options) {
    json[option.name] = option_json(info, option, step);
  }
  return json;
}

Json paths_json(const std::vector<std::filesystem::path>& paths) {
  Json texts = Json::array();
  for (const std::filesystem::path& path : paths) texts.push_back(path.string());
  return texts;
}

Json training_json(const RecipeTraining& training) {
  return {{"text", paths_json(training.text.texts)},
          {"text_key", training.text.text_key},
          {"tokens", training.text.token_file.string()},
          {"window", training.window},
          {"teacher", training.teacher.string()},
          {"teacher_outputs", training.teacher_outputs.string()},
          {"teacher_top_k", training.teacher_top_k}};
}

Json calibration_json(const CalibrationSettings& calibration) {
  return {{"text", paths_json(calibration.texts)},
          {"text_key", calibration.text_key},
          {"tokens", calibration.token_file.string()},
          {"samples", calibration.samples},
          {"window", calibration.window},
          {"seed", calibration.seed}};
}

Json output_json(const OutputSettings& output) {
  return {{"embeddings_bits", output.embeddings_bits},
          {"dequantize", output.dequantize},
          {"pad", output.pad},
          {"expand", output.expand},
          {"sparse", output.sparse == SparseStorage::dense ? "dense" : "smallest"}};
}

}  // namespace

std::map<std::string, std::string> plain_options(const RecipeStep& step) {
  std::map<std::string, std::string> options;
  for (const auto& [name, option] : step.options) {
    if (!option.value.empty()) options[name] = option.value;
  }
  return options;
}

Json to_json(const Recipe& recipe) {
  check_recipe(recipe);
  Json steps = Json::array();
  for (const RecipeStep& step : recipe.steps) steps.push_back(step_json(step));
  return {{"calibration", calibration_json(recipe.calibration)},
          {"training", training_json(recipe.training)},
          {"importance", recipe.importance.string()},
          {"steps", std::move(steps)},
          {"true_sequential", recipe.true_sequential},
          {"output", output_json(recipe.output)}};
}

MethodOptions options_of(const RecipeStep& step) {
  return {MethodRegistry::instance().find(step.method), plain_options(step)};
}

}  // namespace terse
