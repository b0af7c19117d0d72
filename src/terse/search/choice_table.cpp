#include "terse/search/choice_table.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "terse/search/draft.h"

namespace terse {

Recipe ChoiceTable::recipe(const std::vector<std::size_t>& options, const Recipe& settings) const {
  std::vector<const Choice*> chosen;
  for (std::size_t i = 0; i < units.size(); ++i) chosen.push_back(&choices[i][options[i]]);
  return recipe_of(units, chosen, settings);
}

std::size_t ChoiceTable::embeddings() const {
  return static_cast<std::size_t>(std::ranges::find_if(units, &Unit::is_embeddings) -
                                  units.begin());
}

std::size_t ChoiceTable::holder(LinearRole role, std::int64_t block) const {
  std::size_t nearest = units.size();
  std::int64_t least = 0;
  for (std::size_t unit = 0; unit < units.size(); ++unit) {
    for (const LinearPlace& place : units[unit].places) {
      const std::int64_t distance = std::abs(place.block - block);
      if (place.role != role || (nearest < units.size() && distance >= least)) continue;
      nearest = unit;
      least = distance;
    }
  }
  return nearest;
}

ChoiceTable choice_table(Laboratory& laboratory, std::int64_t parts,
                         const std::set<std::string>& kinds) {
  ChoiceTable table{units_of(laboratory.model(), parts), {}};
  for (const Unit& unit : table.units) {
    std::vector<Choice>& choices = table.choices.emplace_back();
    choices.push_back({"dense", {}});
    for (const ChoiceKind* kind : chosen_kinds(kinds)) {
      if (!kind->choices) continue;
      for (Choice& choice : kind->choices(unit)) {
        if (laboratory.fits(unit, choice)) choices.push_back(std::move(choice));
      }
    }
  }
  return table;
}

}  // namespace terse
