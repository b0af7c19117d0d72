#include "terse/recipe/recipe_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

namespace terse {
namespace {

namespace fs = std::filesystem;

// As YAML has it in double quotes, where plain text could be taken for something else.
std::string scalar(const std::string& text) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.';
  };
  if (!text.empty() && std::ranges::all_of(text, plain)) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

std::string list(const std::vector<std::string>& texts) {
  std::string joined;
  for (const std::string& text : texts) {
    joined += joined.empty() ? "" : ", ";
    joined += scalar(text);
  }
  return fmt::format("[{}]", joined);
}

class Writer {
 public:
  std::string write(const Recipe& recipe) {
    write_calibration(recipe.calibration);
    write_training(recipe.training);
    if (!recipe.importance.empty()) line(0, "importance", scalar(recipe.importance.string()));
    if (!recipe.true_sequential) line(0, "true_sequential", "false");
    head("steps");
    for (const RecipeStep& step : recipe.steps) write_step(step);
    write_output(recipe.output);
    return std::move(text_);
  }

 private:
  void line(int indent, std::string_view key, std::string_view value) {
    if (!pending_.empty() && indent > 0) text_ += fmt::format("{}:\n", pending_);
    pending_ = {};
    text_ += fmt::format("{:{}}{}: {}\n", "", indent, key, value);
  }

  // A key is written with the first line below it, if there is one.
  void head(std::string_view key) { pending_ = key; }

  void write_texts(const std::vector<fs::path>& texts, const std::string& text_key,
                   const fs::path& tokens) {
    std::vector<std::string> paths;
    for (const fs::path& path : texts) paths.push_back(path.string());
    if (!paths.empty()) line(2, "text", list(paths));
    if (text_key != "text") line(2, "text_key", scalar(text_key));
    if (!tokens.empty()) line(2, "tokens", scalar(tokens.string()));
  }

  void write_number(std::string_view key, std::int64_t value, std::int64_t usual) {
    if (value != usual) line(2, key, std::to_string(value));
  }

  void write_calibration(const CalibrationSettings& c) {
    const CalibrationSettings usual;
    head("calibration");
    write_texts(c.texts, c.text_key, c.token_file);
    write_number("samples", c.samples, usual.samples);
    write_number("window", c.window, usual.window);
    write_number("seed", static_cast<std::int64_t>(c.seed), 0);
  }

  void write_training(const RecipeTraining& t) {
    head("training");
    write_texts(t.text.texts, t.text.text_key, t.text.token_file);
    write_number("window", t.window, 0);
    if (!t.teacher.empty()) line(2, "teacher", scalar(t.teacher.string()));
    if (!t.teacher_outputs.empty()) {
      line(2, "teacher_outputs", scalar(t.teacher_outputs.string()));
    }
    write_number("teacher_top_k", t.teacher_top_k, 0);
  }

  void write_step(const RecipeStep& step) {
    line(2, "- method", scalar(step.method));
    for (const auto& [name, option] : step.options) write_option(name, option);
    if (!step.targets.empty()) line(4, "targets", list(step.targets));
    if (!step.ignore.empty()) line(4, "ignore", list(step.ignore));
    if (step.remeasure) line(4, "remeasure", "true");
  }

  void write_option(const std::string& name, const StepOption& option) {
    if (option.table.empty()) return line(4, name, scalar(option.value));
    text_ += fmt::format("    {}:\n", name);
    if (!option.value.empty()) line(6, "default", scalar(option.value));
    for (const auto& [selector, value] : option.table) line(6, scalar(selector), scalar(value));
  }

  void write_output(const OutputSettings& output) {
    head("output");
    write_number("embeddings_bits", output.embeddings_bits, 0);
    if (output.dequantize) line(2, "dequantize", "true");
    if (output.pad) line(2, "pad", "true");
    if (output.expand) line(2, "expand", "true");
    if (output.sparse == SparseStorage::dense) line(2, "sparse", "dense");
  }

  std::string text_;
  std::string_view pending_;
};

}  // namespace

std::string recipe_yaml(const Recipe& recipe) {
  return Writer().write(recipe);
}

}  // namespace terse
