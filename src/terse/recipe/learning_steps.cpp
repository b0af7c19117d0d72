#include "terse/recipe/learning_steps.h"

#include <algorithm>

#include "terse/core/error.h"
#include "terse/core/file.h"
#include "terse/formats/checkpoint_writer.h"
#include "terse/methods/learning_rules.h"
#include "terse/methods/shape_method.h"
#include "terse/recipe/selector.h"

namespace terse {
namespace {

const MethodInfo& info_of(const RecipeStep& step) {
  return MethodRegistry::instance().find(step.method);
}

std::vector<LearnedLinear> learned_linears(const Model& model, const Schedule& schedule) {
  const Architecture& a = model.architecture();
  std::vector<LearnedLinear> linears;
  for (const LinearPlace& place : linear_places(model)) {
    if (!schedule.chosen(0, place.block, place.key())) continue;
    linears.push_back({place.module, a.out_features(place.block, place.role),
                       a.in_features(place.block, place.role),
                       schedule.pruned_before(place.block, place.key()),
                       schedule.coded_before(place.block, place.key()),
                       schedule.apart_before(place.block, place.key())});
  }
  return linears;
}

}  // namespace

std::vector<std::filesystem::path> learning_files(const Recipe& recipe) {
  std::vector<std::filesystem::path> all;
  for (const RecipeStep& step : recipe.steps) {
    if (!learns(info_of(step))) continue;
    const auto files = learning_rules(info_of(step)).files(options_of(step));
    all.insert(all.end(), files.begin(), files.end());
  }
  return all;
}

void check_learning_steps(const Recipe& recipe, const Model& model,
                          std::span<const Schedule> schedules) {
  const auto passes = passes_of(recipe);
  std::vector<const MethodInfo*> before;
  for (const RecipeStep& step : recipe.steps) {
    if (reshapes(info_of(step))) before.push_back(&info_of(step));
  }
  int adapters = 0;
  for (std::size_t pass = 0; pass < passes.size(); ++pass) {
    if (learns(passes[pass])) {
      const RecipeStep& step = passes[pass].front();
      const LearningRules& rules = learning_rules(info_of(step));
      const MethodOptions options = options_of(step);
      rules.check({options, model, learned_linears(model, schedules[pass]), before});
      adapters += rules.saves_adapter(options) ? 1 : 0;
    }
    for (const RecipeStep& step : passes[pass]) before.push_back(&info_of(step));
  }
  if (adapters > 1) {
    throw bad_usage("save_adapter: {} steps would write adapter/ in the output; choose one",
                    adapters);
  }
}

bool is_input_rounded(const Recipe& recipe, std::size_t pass) {
  const auto changes_shape = [](const RecipeStep& step) { return reshapes(info_of(step)); };
  if (std::ranges::any_of(recipe.steps, changes_shape)) return false;
  const auto passes = passes_of(recipe);
  return std::ranges::all_of(std::span(passes).first(pass), [](const auto& steps) {
    return std::ranges::all_of(steps,
                               [](const RecipeStep& step) { return only_rounds(info_of(step)); });
  });
}

void copy_adapter(const AdapterRecord& adapter, const Journal& journal,
                  const std::filesystem::path& folder) {
  with_filesystem_errors([&] {
    std::filesystem::create_directories(folder);
    copy_durably(journal.path(adapter.config_file), folder / PeftAdapter::kConfig);
    copy_durably(journal.path(adapter.tensors_file), folder / PeftAdapter::kTensors);
    sync_directory(folder);
  });
}

}  // namespace terse
