#include "terse/recipe/recipe_check.h"

#include <algorithm>
#include <map>

#include "terse/core/error.h"
#include "terse/methods/block_method.h"
#include "terse/methods/learning_rules.h"
#include "terse/methods/method.h"
#include "terse/methods/shape_method.h"
#include "terse/methods/training.h"
#include "terse/recipe/selector.h"

namespace terse {
namespace {

constexpr std::string_view kSharing = "sharing";

void check_selectors(const std::vector<std::string>& selectors) {
  for (const std::string& selector : selectors) const Selector checked(selector);
}

void check_calibration(const CalibrationSettings& calibration) {
  if (!calibration.texts.empty() && !calibration.token_file.empty()) {
    throw bad_usage("calibration has both texts and token ids; leave one of them out");
  }
  if (calibration.samples < 1)
    throw bad_usage("calibration on {} samples; expected at least 1", calibration.samples);
  if (calibration.window < 0)
    throw bad_usage("calibration windows of {} tokens; expected at least 1", calibration.window);
}

bool has_teacher(const Recipe& recipe) {
  return std::ranges::any_of(recipe.steps, [](const RecipeStep& step) {
    const MethodInfo& info = MethodRegistry::instance().find(step.method);
    return learning_rules(info).from_teacher(options_of(step));
  });
}

void check_teacher(const Recipe& recipe) {
  const RecipeTraining& training = recipe.training;
  if (training.teacher_top_k < 0) {
    throw bad_usage("the {} most probable tokens of a teacher; expected at least 1",
                    training.teacher_top_k);
  }
  if (training.teacher_outputs.empty() && training.teacher_top_k != 0) {
    throw bad_usage("teacher_top_k is of no use without a file for teacher_outputs");
  }
  if ((training.teacher.empty() && training.teacher_outputs.empty()) || has_teacher(recipe)) return;
  throw bad_usage("a teacher is given, and no step learns from a teacher, as distill does");
}

void check_training(const Recipe& recipe) {
  const TrainingText& text = recipe.training.text;
  if (!text.texts.empty() && !text.token_file.empty()) {
    throw bad_usage("training has both texts and token ids; leave one of them out");
  }
  for (const RecipeStep& step : recipe.steps) {
    if (!learns(MethodRegistry::instance().find(step.method)) || text.given()) continue;
    throw bad_usage("{} learns from text: give training text or tokens", step.method);
  }
}

void check_importance(const Recipe& recipe) {
  bool needed = false;
  for (const RecipeStep& step : recipe.steps) {
    const MethodInfo& info = MethodRegistry::instance().find(step.method);
    if (reshapes(info) && !recipe.importance.empty()) {
      throw bad_usage(
          "importance: scores are of the model of which {} makes another one; make that first, "
          "score it and prune it in a recipe of its own",
          step.method);
    }
    if (info.need != MethodNeed::importance) continue;
    needed = true;
    if (!recipe.importance.empty()) continue;
    throw bad_usage(
        "{} needs importance scores: make them with `terse importance MODEL -o FILE --text ...` "
        "and give importance: FILE (--importance FILE)",
        step.method);
  }
  if (needed || recipe.importance.empty()) return;
  throw bad_usage("importance: {} is given, but no step reads scores; leave it out",
                  recipe.importance.string());
}

// Only dense weights can be padded.
void check_padding(const Recipe& recipe) {
  if (!recipe.output.pad) return;
  for (const RecipeStep& step : recipe.steps) {
    const MethodInfo& info = MethodRegistry::instance().find(step.method);
    if (info.category == kSharing && !recipe.output.expand) {
      throw bad_usage("pad: {} leaves weights that blocks share; add expand", info.name);
    }
    if (reshapes(info) || recipe.output.dequantize) continue;
    throw bad_usage("pad writes dense weights, which {} need not leave; add dequantize", info.name);
  }
}

void check_expansion(const Recipe& recipe) {
  const auto shares = [](const RecipeStep& step) {
    return MethodRegistry::instance().find(step.method).category == kSharing;
  };
  if (!recipe.output.expand || std::ranges::any_of(recipe.steps, shares)) return;
  throw bad_usage("expand: no step shares weights; leave it out");
}

}  // namespace

void check_option(const MethodInfo& info, const std::string& name, const std::string& value) {
  if (value.empty()) throw bad_usage("option {}: the value is empty", name);
  const MethodOptions checked(info, {{name, value}});
}

void check_combination(const MethodInfo& info, const RecipeStep& step) {
  const auto has_table = [](const auto& item) { return !item.second.table.empty(); };
  if (std::ranges::any_of(step.options, has_table)) return;
  const MethodOptions options(info, plain_options(step));
  if (learns(info)) return;
  if (reshapes(info)) {
    if (!step.targets.empty() || !step.ignore.empty() || step.remeasure) {
      throw bad_usage("{} is for the whole model: targets, ignore and remeasure say nothing of it",
                      info.name);
    }
    make_shape_method(info, options);
    return;
  }
  const bool of_blocks = make_block_method(info.name, options, {}) != nullptr;
  if (!of_blocks || has_linear_method(info.name)) make_linear_method(info.name, options, {});
}

void check_tables(const MethodInfo& info, const RecipeStep& step) {
  for (const MethodOption& option : info.options) {
    const auto given = step.options.find(option.name);
    if (given == step.options.end() || given->second.table.empty()) continue;
    if (option.whole_step || !has_linear_method(info.name)) {
      throw bad_usage("option {}: one value must do for all linears of a step", option.name);
    }
  }
}

void check_step(const RecipeStep& step) {
  const MethodInfo& info = MethodRegistry::instance().find(step.method);
  for (const auto& [name, option] : step.options) {
    if (!option.value.empty() || option.table.empty()) check_option(info, name, option.value);
    for (const auto& [selector, value] : option.table) {
      const Selector checked(selector);
      check_option(info, name, value);
    }
  }
  check_selectors(step.targets);
  check_selectors(step.ignore);
  check_tables(info, step);
  check_combination(info, step);
}

void check_recipe(const Recipe& recipe) {
  if (recipe.steps.empty()) throw bad_usage("a recipe without steps does nothing");
  for (std::size_t i = 0; i < recipe.steps.size(); ++i) {
    try {
      check_step(recipe.steps[i]);
    } catch (Error& error) {
      if (recipe.steps.size() > 1) error.add_context(fmt::format("step {}", i + 1));
      throw;
    }
  }
  check_calibration(recipe.calibration);
  check_training(recipe);
  check_teacher(recipe);
  check_importance(recipe);
  check_padding(recipe);
  check_expansion(recipe);
  const int bits = recipe.output.embeddings_bits;
  if (bits != 0 && (bits < 2 || bits > 8)) {
    throw bad_usage("embeddings at {} bits; expected 2 to 8, or 0 to leave them", bits);
  }
}

}  // namespace terse
