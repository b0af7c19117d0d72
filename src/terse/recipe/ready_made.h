// The recipes of recipes/, which are built into the library: a copied program has them too.
#pragma once

#include <string_view>
#include <vector>

namespace terse {

struct ReadyMadeRecipe {
  std::string_view name;  ///< That of its file, without ".yaml".
  std::string_view text;

  /// The first line of the comment that it begins with.
  std::string_view summary() const;
};

/// In the order of their names.
const std::vector<ReadyMadeRecipe>& ready_made_recipes();

}  // namespace terse
