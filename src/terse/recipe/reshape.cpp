#include "terse/recipe/reshape.h"

#include <memory>

#include "terse/core/error.h"
#include "terse/methods/shape_method.h"
#include "terse/model/model.h"
#include "terse/model/narrowed.h"

namespace terse {

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
    const Model model(std::make_shared<const Checkpoint>(result));
    require_no_experts(model.architecture(), info.name);
    const auto method = make_shape_method(info, MethodOptions(info, plain_options(step)));
    result = keep_units(model, method->kept(model.architecture()));
    if (const auto width = method->residual_width(model.architecture())) {
      result = narrow_outline(model, *width);
      continue;
    }
    const std::vector<SharedLinear> shared = method->shared(model.architecture());
    if (!shared.empty()) {
      result = share_linears(Model(std::make_shared<const Checkpoint>(result)), shared);
    }
  }
  if (recipe.output.pad) {
    require_no_experts(Model(std::make_shared<const Checkpoint>(result)).architecture(), "pad");
  }
  return result;
}

}  // namespace terse
