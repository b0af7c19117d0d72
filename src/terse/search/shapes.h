// The shapes that a model may be given before its linears are compressed, and what is then expected
// of them.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "terse/formats/checkpoint.h"
#include "terse/search/choice_table.h"
#include "terse/search/estimates.h"

namespace terse {

/// A model in one of the shapes that it may be given: what may then be done, and what is expected.
struct ShapedChoices {
  std::string name;               ///< Of the candidate; "estimate": the model as it is.
  std::vector<RecipeStep> steps;  ///< That give it the shape; none: the model as it is.
  ChoiceTable table;              ///< Of the units that are left, in the blocks that they are then.
  Sensitivities sensitivities;    ///< Of them and, last, of all else: what the shape itself loses.

  /// The recipe of one choice for each unit.
  Recipe recipe(const std::vector<std::size_t>& options, const Recipe& settings) const;
};

/// What the kinds of these names, or of all names that need not be said, have to offer.
std::vector<Choice> shapes_of(const std::set<std::string>& kinds, const ShapeQuestions& questions);

/// A checkpoint in another shape, in outline.
struct ShapeOutline {
  Model model;
  std::vector<std::int64_t> blocks;  ///< By block, the one that it was.
};

/// Nothing where a method cannot give it the shape.
std::optional<ShapeOutline> outline_of(const Checkpoint& checkpoint, const Choice& shape);

/// The choices, by what they take of a resource, after `shape` was given to the model, which loses
/// `kl` by it: bytes in proportion to the dense linears', losses as they are in the model as it is,
/// for as many linears as are left. Choices whose methods cannot be applied to the linears that
/// they become are left out.
ShapedChoices in_shape(const Laboratory& laboratory, const Choice& shape,
                       const ShapeOutline& outline, double kl, const ShapedChoices& as_it_is,
                       Resource resource);

}  // namespace terse
