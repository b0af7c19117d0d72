// The units of a model and what may be done to each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "terse/search/choice.h"
#include "terse/search/laboratory.h"

namespace terse {

/// The choices of every unit. The first of each is to leave it as it is.
struct ChoiceTable {
  std::vector<Unit> units;
  std::vector<std::vector<Choice>> choices;

  /// The recipe of one choice for each unit; what else is in `options` is not looked at.
  Recipe recipe(const std::vector<std::size_t>& options, const Recipe& settings) const;

  /// The unit of embedding and head.
  std::size_t embeddings() const;

  /// The unit of a role that holds the linear of a block or, where there is none, of the nearest.
  std::size_t holder(LinearRole role, std::int64_t block) const;
};

/// The choices of `kinds` (chosen_kinds) that fit each of the units of so many parts
/// of the depth.
ChoiceTable choice_table(Laboratory& laboratory, std::int64_t parts,
                         const std::set<std::string>& kinds);

}  // namespace terse
