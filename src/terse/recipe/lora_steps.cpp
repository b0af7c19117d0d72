#include "terse/recipe/lora_steps.h"

#include <algorithm>
#include <span>

#include "terse/core/error.h"
#include "terse/core/file.h"
#include "terse/formats/checkpoint_writer.h"
#include "terse/methods/learn/lora_start.h"
#include "terse/methods/shape_method.h"
#include "terse/recipe/selector.h"

namespace terse {
namespace {

bool is_lora(const RecipeStep& step) {
  return step.method == "lora";
}

// Whether a step does nothing to a weight but round it.
bool only_rounds(const RecipeStep& step) {
  const MethodInfo& info = MethodRegistry::instance().find(step.method);
  return info.category == "quantize" && !learns(info) &&
         (info.scope == MethodScope::linear || reconstructs(info));
}

// A `lora` step, which is a pass by itself.
class LoraStep {
 public:
  LoraStep(const RecipeStep& step, const Model& model, const Schedule& schedule)
      : options_(options_of(step)), model_(model), schedule_(schedule) {}

  bool saves() const { return options_.flag("save_adapter"); }

  void check(std::span<const RecipeStep> before) const {
    const LoraStart start = lora_start(options_, model_);
    const bool loftq = options_.text("init_lora_weights") == "loftq";
    if (loftq) check_input_tells(before);
    for (const LinearPlace& place : linear_places(model_)) {
      const bool chosen = schedule_.chosen(0, place.block, place.role);
      if (!chosen && start.adapters.contains(place.module)) {
        throw bad_usage("adapter {}: is for {} too, at which the step is not aimed",
                        options_.text("adapter"), place.module);
      }
      if (chosen && saves()) check_saved(place);
      if (chosen && loftq) check_quantized(place);
    }
  }

 private:
  void check_saved(const LinearPlace& place) const {
    if (!schedule_.pruned_before(place.block, place.role)) return;
    throw bad_usage(
        "save_adapter: {} is pruned, and PEFT's format cannot say that zeros stay zero; leave it "
        "out",
        place.module);
  }

  void check_quantized(const LinearPlace& place) const {
    if (schedule_.pruned_before(place.block, place.role)) {
      throw bad_usage(
          "init_lora_weights: loftq: {} is pruned, and zeros that stay zero keep no low rank; use "
          "init_lora_weights: default",
          place.module);
    }
    if (schedule_.coded_before(place.block, place.role)) return;
    throw bad_usage(
        "init_lora_weights: loftq: {} is not quantised; let a quantising step come first",
        place.module);
  }

  // Steps that change weights before they are rounded, or after, leave integers that are not those
  // of the input's weights.
  static void check_input_tells(std::span<const RecipeStep> before) {
    for (const RecipeStep& step : before) {
      const MethodInfo& info = MethodRegistry::instance().find(step.method);
      const bool rounds = info.scope == MethodScope::linear || reconstructs(info);
      if (rounds && !learns(info)) continue;
      throw bad_usage(
          "init_lora_weights: loftq after {}: it changes more than rounding does, so that the "
          "recipe's input does not tell what rounding lost; use init_lora_weights: default",
          info.name);
    }
  }

  MethodOptions options_;
  const Model& model_;
  const Schedule& schedule_;
};

}  // namespace

std::vector<std::filesystem::path> adapter_files(const Recipe& recipe) {
  std::vector<std::filesystem::path> files;
  for (const RecipeStep& step : recipe.steps) {
    if (!is_lora(step)) continue;
    const std::filesystem::path folder = options_of(step).text("adapter");
    if (folder.empty()) continue;
    files.push_back(folder / PeftAdapter::kConfig);
    files.push_back(folder / PeftAdapter::kTensors);
  }
  return files;
}

void check_lora_steps(const Recipe& recipe, const Model& model,
                      std::span<const Schedule> schedules) {
  const auto passes = passes_of(recipe);
  std::size_t pass = 0;
  std::size_t saved = 0;
  for (std::size_t i = 0; i < recipe.steps.size(); ++i) {
    if (!is_lora(recipe.steps[i])) continue;
    while (!is_lora(passes[pass].front())) ++pass;
    const LoraStep step(recipe.steps[i], model, schedules[pass++]);
    step.check(std::span(recipe.steps).first(i));
    saved += step.saves() ? 1 : 0;
  }
  if (saved > 1) {
    throw bad_usage("save_adapter: {} steps would write adapter/ in the output; choose one", saved);
  }
}

bool is_input_rounded(const Recipe& recipe, std::size_t pass) {
  const auto changes_shape = [](const RecipeStep& step) {
    return reshapes(MethodRegistry::instance().find(step.method));
  };
  if (std::ranges::any_of(recipe.steps, changes_shape)) return false;
  const auto passes = passes_of(recipe);
  return std::ranges::all_of(std::span(passes).first(pass), [](const auto& steps) {
    return std::ranges::all_of(steps, only_rounds);
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
