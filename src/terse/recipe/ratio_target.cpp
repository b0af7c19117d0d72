#include "terse/recipe/ratio_target.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <vector>

#include "terse/core/error.h"
#include "terse/core/unless_refused.h"
#include "terse/methods/shape/ratio_of.h"
#include "terse/methods/shape_method.h"
#include "terse/model/model.h"
#include "terse/recipe/reshape.h"
#include "terse/recipe/shape_cost.h"

namespace terse {
namespace {

constexpr int kSteps = 200;

using Cost = std::function<double(const Architecture&)>;

// A ratio as the method counts it, and what it would make of the model.
struct Trial {
  double ratio;
  Architecture architecture;
};

// All that the method does not refuse, by growing ratio.
std::vector<Trial> trials_of(const Checkpoint& checkpoint, const RecipeStep& step) {
  std::vector<Trial> trials;
  for (int i = 1; i < kSteps; ++i) {
    const double ratio = static_cast<double>(i) / kSteps;
    const auto smaller =
        unless_refused([&] { return outline(checkpoint, with_ratio(step, ratio)); });
    if (!smaller) continue;
    trials.push_back({ratio, Model(std::make_shared<const Checkpoint>(*smaller)).architecture()});
  }
  return trials;
}

// The first whose cost is at most `wanted`, or the one before where that is nearer.
const Trial& nearest(const std::vector<Trial>& trials, double wanted, const Cost& cost) {
  const auto after = std::ranges::partition_point(
      trials, [&](const Trial& trial) { return cost(trial.architecture) > wanted; });
  if (after == trials.begin()) return *after;
  if (after == trials.end()) return trials.back();
  const auto distance = [&](const Trial& t) { return std::abs(cost(t.architecture) - wanted); };
  return distance(*std::prev(after)) < distance(*after) ? *std::prev(after) : *after;
}

}  // namespace

RecipeStep with_ratio(RecipeStep step, double ratio) {
  step.options.erase(kRatioOf);
  step.options["ratio"] = {fmt::format("{:g}", ratio), {}};
  return step;
}

bool targets_cost(const RecipeStep& step) {
  const auto found = step.options.find(kRatioOf);
  return found != step.options.end() && is_cost(found->second.value);
}

RecipeStep with_own_ratio(const Checkpoint& checkpoint, const RecipeStep& step) {
  if (!targets_cost(step)) return step;
  const double asked = options_of(step).number("ratio");
  const std::string what = options_of(step).text(kRatioOf);
  const Model model(std::make_shared<const Checkpoint>(checkpoint));
  // What the method itself refuses is refused in its own words.
  make_shape_method(MethodRegistry::instance().find(step.method), options_of(step));
  const std::vector<Trial> trials = trials_of(checkpoint, step);
  if (trials.empty()) outline(checkpoint, with_ratio(step, asked));
  const Cost cost = what == kOperations ? Cost(block_operations) : Cost([&](const Architecture& a) {
    return block_seconds(a, model.dtype());
  });
  const double whole = cost(model.architecture());
  const Trial& best = nearest(trials, (1 - asked) * whole, cost);
  const double reached = 1 - cost(best.architecture) / whole;
  if (reached > 2 * asked) {
    throw bad_usage("{}: a ratio of {} of the {} is too little; the least that can go is {:.3f}",
                    step.method, asked, what, reached);
  }
  const double least = cost(trials.back().architecture) / whole;
  if (1 - asked < least - 0.5 / kSteps) {
    throw bad_usage("{}: a ratio of {} of the {} cannot be reached; at most {:.3f} of it can go",
                    step.method, asked, what, 1 - least);
  }
  return with_ratio(step, best.ratio);
}

}  // namespace terse
