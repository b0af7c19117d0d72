#include "terse/search/choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace terse {
namespace {

std::map<std::string, ChoiceKind>& kinds() {
  static std::map<std::string, ChoiceKind> all;
  return all;
}

}  // namespace

ChoiceKindRegistration::ChoiceKindRegistration(ChoiceKind kind) {
  const std::string name = kind.name;
  kinds().emplace(name, std::move(kind));
}

const std::map<std::string, ChoiceKind>& choice_kinds() {
  return kinds();
}

std::vector<const ChoiceKind*> chosen_kinds(const std::set<std::string>& names) {
  std::vector<const ChoiceKind*> chosen;
  for (const auto& [name, kind] : kinds()) {
    const bool is_meant = names.empty() ? !kind.must_be_named() : names.contains(name);
    if (is_meant) chosen.push_back(&kind);
  }
  return chosen;
}

RecipeStep step_of(const std::string& method, const std::map<std::string, std::string>& options) {
  RecipeStep step;
  step.method = method;
  for (const auto& [name, value] : options) step.options[name].value = value;
  return step;
}

std::vector<RecipeStep> steps_for(LinearRole role, const Choice& choice) {
  std::vector<RecipeStep> steps = choice.steps;
  for (RecipeStep& step : steps) step.targets = {std::string(role_name(role))};
  return steps;
}

std::string role_selector(LinearRole role, std::int64_t first, std::int64_t last) {
  return first == last ? fmt::format("{} block {}", role_name(role), first)
                       : fmt::format("{} blocks {}-{}", role_name(role), first, last);
}

std::vector<Unit> units_of(const Model& model, std::int64_t parts) {
  const Architecture& a = model.architecture();
  const std::int64_t blocks = a.num_hidden_layers;
  std::vector<Unit> units;
  for (const auto& entry : a.linears) {
    for (std::int64_t part = 0; part < parts; ++part) {
      const std::int64_t first = part * blocks / parts;
      const std::int64_t end = (part + 1) * blocks / parts;
      Unit unit{role_selector(entry.first, first, end - 1), {}};
      for (std::int64_t block = first; block < end; ++block) {
        // Blocks may differ.
        const std::vector<LinearRole> roles = a.roles(block);
        if (std::ranges::find(roles, entry.first) == roles.end()) continue;
        unit.places.push_back({block, entry.first, model.linear_module(block, entry.first)});
      }
      unit.measured = unit.places.size() / 2;
      if (!unit.places.empty()) units.push_back(std::move(unit));
    }
  }
  units.push_back({"embeddings", {}});
  return units;
}

}  // namespace terse
