#include "terse/search/draft.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "terse/recipe/schedule.h"

namespace terse {
namespace {

using Steps = std::vector<RecipeStep>;

// Linears whose steps are of the same methods in the same order.
struct Family {
  std::vector<std::pair<LinearPlace, const Steps*>> linears;
};

// Options that one linear is given and another is not stand apart: an empty value is no value.
std::string signature(const Steps& steps) {
  std::string text;
  for (const RecipeStep& step : steps) {
    text += step.method + "(";
    for (const auto& entry : step.options) text += entry.first + " ";
    text += ")";
  }
  return text;
}

// Embedding and head are rounded with the plain values of some options (recipe/embeddings.h):
// `plain` says which they must be. Of the others it is the most common one.
StepOption merged(const Family& family, std::size_t step, const std::string& name,
                  std::int64_t blocks, const std::map<std::string, StepOption>& plain) {
  std::map<std::string, std::vector<LinearPlace>> places;
  for (const auto& [place, steps] : family.linears) {
    places[(*steps)[step].options.at(name).value].push_back(place);
  }
  const auto most =
      std::ranges::max_element(places, {}, [](const auto& entry) { return entry.second.size(); });
  const auto fixed = plain.find(name);
  StepOption option{fixed != plain.end() ? fixed->second.value : most->first, {}};
  for (const auto& [value, those] : places) {
    if (value == option.value) continue;
    for (const std::string& selector : selectors_of(those, blocks)) {
      option.table.emplace_back(selector, value);
    }
  }
  return option;
}

Steps steps_of(const Family& family, std::size_t all_linears, std::int64_t blocks,
               const std::map<std::string, StepOption>& plain) {
  Steps steps;
  const Steps& first = *family.linears.front().second;
  for (std::size_t i = 0; i < first.size(); ++i) {
    RecipeStep& step = steps.emplace_back();
    step.method = first[i].method;
    for (const auto& entry : first[i].options) {
      step.options[entry.first] = merged(family, i, entry.first, blocks, plain);
    }
    if (family.linears.size() == all_linears) continue;
    std::vector<LinearPlace> places;
    for (const auto& entry : family.linears) places.push_back(entry.first);
    step.targets = selectors_of(std::move(places), blocks);
  }
  return steps;
}

}  // namespace

std::vector<std::string> selectors_of(std::vector<LinearPlace> places, std::int64_t blocks) {
  std::ranges::sort(places, {}, [](const LinearPlace& p) { return std::pair(p.role, p.block); });
  std::vector<std::string> selectors;
  for (std::size_t first = 0; first < places.size();) {
    std::size_t last = first;
    while (last + 1 < places.size() && places[last + 1].role == places[first].role &&
           places[last + 1].block == places[last].block + 1) {
      ++last;
    }
    const bool whole = places[first].block == 0 && places[last].block + 1 == blocks;
    selectors.push_back(
        whole ? std::string(role_name(places[first].role))
              : role_selector(places[first].role, places[first].block, places[last].block));
    first = last + 1;
  }
  return selectors;
}

Recipe recipe_of(const std::vector<Unit>& units, const std::vector<const Choice*>& choices,
                 Recipe settings) {
  std::map<std::string, Family> families;
  std::map<std::string, StepOption> plain;
  std::size_t linears = 0;
  std::int64_t blocks = 0;
  for (std::size_t i = 0; i < units.size(); ++i) {
    if (units[i].is_embeddings()) {
      settings.output.embeddings_bits = choices[i]->embeddings_bits;
      for (const RecipeStep& step : choices[i]->steps) plain = step.options;
    }
    for (const LinearPlace& place : units[i].places) {
      ++linears;
      blocks = std::max(blocks, place.block + 1);
      if (choices[i]->steps.empty()) continue;
      families[signature(choices[i]->steps)].linears.emplace_back(place, &choices[i]->steps);
    }
  }
  settings.steps.clear();
  // What learns comes last, and makes up for what the others have done.
  for (const bool learned : {false, true}) {
    for (const auto& entry : families) {
      Steps steps = steps_of(entry.second, linears, blocks, plain);
      if (reconstructs(steps) == learned) {
        std::ranges::move(steps, std::back_inserter(settings.steps));
      }
    }
  }
  return settings;
}

}  // namespace terse
