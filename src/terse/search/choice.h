// What may be done to a unit of a model, and the kinds of choices that are known.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "terse/model/model.h"
#include "terse/recipe/recipe.h"
#include "terse/recipe/selector.h"

namespace terse {

/// What is decided on at once: one linear, several of one role, or embedding and head.
struct Unit {
  std::string name;                 ///< "q_proj block 3", "q_proj blocks 0-5", "embeddings"
  std::vector<LinearPlace> places;  ///< Linears; none: embedding and head.
  std::size_t measured = 0;         ///< The one of `places` that is measured for all.

  bool is_embeddings() const { return places.empty(); }
};

/// One thing that may be done to a unit, in the words of recipes.
struct Choice {
  std::string name;  ///< "gptq 3 bits group 64"; no other choice of a unit has it.
  /// Of each linear, without targets; none: it stays dense. Of embedding and head: one step,
  /// whose options they are rounded with (recipe/embeddings.h).
  std::vector<RecipeStep> steps;
  int embeddings_bits = 0;  ///< As OutputSettings'.
};

/// What a kind may ask before it says which shapes a model may be given.
struct ShapeQuestions {
  const Architecture& architecture;
  /// Nats per position that predictions lose when a block is left out.
  std::function<double(std::int64_t block)> kl_without;
};

/// A kind of choices: which there are for a unit, or for the shape of the whole model, which is
/// given before anything else is done. What a method cannot do to a model or to a linear of the
/// unit's shape need not be left out: that is found by asking the method.
struct ChoiceKind {
  using OfUnit = std::function<std::vector<Choice>(const Unit& unit)>;
  using OfShape = std::function<std::vector<Choice>(const ShapeQuestions& questions)>;

  std::string name;  ///< "bits"
  std::string summary;
  OfUnit choices = {};  ///< Without a value: none of units.
  /// Without a value: none of shapes. Of their steps `ShapeMethod::kept` must say before anything
  /// was looked at which blocks stay: units are known by their blocks.
  OfShape shapes = {};

  /// Kinds that change the shape must be asked for by name.
  bool must_be_named() const { return static_cast<bool>(shapes); }
};

/// A static object of this type in a file of choices/ makes a kind known.
struct ChoiceKindRegistration {
  explicit ChoiceKindRegistration(ChoiceKind kind);
};

/// By name.
const std::map<std::string, ChoiceKind>& choice_kinds();

/// The kinds with these names; where there are none, all that need not be named.
std::vector<const ChoiceKind*> chosen_kinds(const std::set<std::string>& names);

/// A step with options.
RecipeStep step_of(const std::string& method, const std::map<std::string, std::string>& options);

/// The steps of a choice, for linears of a role.
std::vector<RecipeStep> steps_for(LinearRole role, const Choice& choice);

/// Every unit of a model: the linears of each role in so many consecutive parts of the depth, of
/// which there may be as many as blocks, by role and then by depth; embedding and head last.
std::vector<Unit> units_of(const Model& model, std::int64_t parts);

/// "q_proj block 3" or "q_proj blocks 0-5": a selector (recipe/selector.h) of those linears.
std::string role_selector(LinearRole role, std::int64_t first, std::int64_t last);

}  // namespace terse
