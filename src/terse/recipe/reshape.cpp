#include "terse/recipe/reshape.h"

#include <memory>
#include <string_view>
#include <vector>

#include "terse/core/error.h"
#include "terse/methods/shape_method.h"
#include "terse/model/model.h"
#include "terse/model/narrowed.h"
#include "terse/recipe/ratio_target.h"

namespace terse {

namespace {

// Of models with experts whole blocks can go: what looks at parts of them does not know experts.
void check_experts(const Architecture& a, const ShapeMethod& method, std::string_view name) {
  const ShapeNeeds needs = method.needs();
  const bool of_parts = needs.weights || needs.evaluator || needs.residual || method.rewriting();
  if (of_parts) require_no_experts(a, name);
}

}  // namespace

Checkpoint outline(const Checkpoint& checkpoint, const RecipeStep& step) {
  const Model model(std::make_shared<const Checkpoint>(checkpoint));
  const auto method =
      make_shape_method(MethodRegistry::instance().find(step.method), options_of(step));
  check_experts(model.architecture(), *method, step.method);
  const Checkpoint smaller = keep_units(model, method->kept(model.architecture()));
  if (const auto width = method->residual_width(model.architecture())) {
    return narrow_outline(model, *width);
  }
  const std::vector<SharedLinear> shared = method->shared(model.architecture());
  if (shared.empty()) return smaller;
  return share_linears(Model(std::make_shared<const Checkpoint>(smaller)), shared);
}

Checkpoint reshaped(const Checkpoint& checkpoint, const Recipe& recipe) {
  Checkpoint result = checkpoint;
  bool others = false;
  for (const RecipeStep& step : recipe.steps) {
    const MethodInfo& info = MethodRegistry::instance().find(step.method);
    if (!reshapes(info)) {
      others = true;
      continue;
    }
    if (others)
      throw bad_usage("{} changes the model's shape; let it be the first step", info.name);
    result = outline(result, with_own_ratio(result, step));
  }
  if (recipe.output.pad) {
    require_no_experts(Model(std::make_shared<const Checkpoint>(result)).architecture(), "pad");
  }
  return result;
}

}  // namespace terse
