#include "terse/search/learned_rounding.h"

#include <array>
#include <string_view>

#include "terse/core/error.h"
#include "terse/core/text.h"
#include "terse/methods/training.h"

namespace terse {
namespace {

// Options of GPTQ that say nothing of the grid.
constexpr std::array<std::string_view, 4> kOfFeedback = {"percdamp", "desc_act", "static_groups",
                                                         "block_size"};

}  // namespace

std::optional<Choice> with_learned_rounding(const Choice& choice) {
  if (choice.steps.size() != 1 || choice.steps.front().method != "gptq") return std::nullopt;
  const auto& options = choice.steps.front().options;
  // Groups that follow the order of activations have an index, which learned ones do not need.
  const auto is = [&](const char* name) {
    const auto found = options.find(name);
    return found != options.end() && found->second.value == "true";
  };
  if (is("desc_act") && !is("static_groups")) return std::nullopt;
  Choice learned = choice;
  learned.name = replace_all(choice.name, "gptq", "autoround");
  RecipeStep& step = learned.steps.front();
  step.method = "autoround";
  for (const std::string_view option : kOfFeedback) step.options.erase(std::string(option));
  return learned;
}

bool learned_rounding_installed() {
  try {
    training_module();
  } catch (const Error&) {
    return false;
  }
  return true;
}

}  // namespace terse
