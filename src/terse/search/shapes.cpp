#include "terse/search/shapes.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <memory>
#include <numeric>
#include <utility>

#include "terse/core/unless_refused.h"
#include "terse/methods/shape_method.h"
#include "terse/model/inventory.h"
#include "terse/recipe/reshape.h"
#include "terse/recipe/schedule.h"
#include "terse/search/embeddings_model.h"

namespace terse {
namespace {

std::uint64_t bytes_of(const Model& model, const Unit& unit) {
  if (unit.is_embeddings()) return embeddings_bytes(model);
  std::uint64_t bytes = 0;
  for (const LinearPlace& place : unit.places) {
    bytes += stored_bytes(model.checkpoint(), place.module + ".weight");
  }
  return bytes;
}

// The places of a unit that are left, where they are then.
std::vector<LinearPlace> places_left(const Unit& unit, const ShapeOutline& outline) {
  std::vector<LinearPlace> places;
  for (const LinearPlace& place : unit.places) {
    const auto found = std::ranges::find(outline.blocks, place.block);
    if (found == outline.blocks.end()) continue;
    const std::int64_t block = found - outline.blocks.begin();
    const std::vector<LinearRole> roles = outline.model.architecture().roles(block);
    if (std::ranges::find(roles, place.role) == roles.end()) continue;
    places.push_back({block, place.role, outline.model.linear_module(block, place.role)});
  }
  return places;
}

KnapsackOption in_proportion(const KnapsackOption& option, double bytes, double linears) {
  return {static_cast<std::uint64_t>(std::llround(static_cast<double>(option.weight) * bytes)),
          option.loss * linears};
}

std::vector<std::int64_t> blocks_left(const Architecture& a, const RecipeStep& step) {
  const auto method =
      make_shape_method(MethodRegistry::instance().find(step.method), options_of(step));
  std::vector<std::int64_t> blocks;
  for (const KeptBlock& kept : method->kept(a)) blocks.push_back(kept.block);
  return blocks;
}

std::vector<std::int64_t> all_blocks(const Checkpoint& checkpoint) {
  const std::int64_t count = parse_architecture(checkpoint.config()).num_hidden_layers;
  std::vector<std::int64_t> blocks(static_cast<std::size_t>(count));
  std::iota(blocks.begin(), blocks.end(), std::int64_t{0});
  return blocks;
}

// Whether the methods of a choice can be applied to the linears of a unit's role.
class Fits {
 public:
  Fits(const Model& model, std::int64_t tokens) : model_(model), tokens_(tokens) {}

  bool operator()(const Unit& unit, const Choice& choice) {
    if (unit.is_embeddings() || choice.steps.empty()) return true;
    const LinearRole role = unit.places.front().role;
    const auto [found, is_new] = known_.try_emplace({role, choice.name}, false);
    if (is_new) {
      found->second = unless_refused([&] {
                        return Schedule(model_, steps_for(role, choice), tokens_);
                      }).has_value();
    }
    return found->second;
  }

 private:
  const Model& model_;
  std::int64_t tokens_;  // of calibration
  std::map<std::pair<LinearRole, std::string>, bool> known_;
};

}  // namespace

Recipe ShapedChoices::recipe(const std::vector<std::size_t>& options,
                             const Recipe& settings) const {
  Recipe recipe = table.recipe(options, settings);
  recipe.steps.insert(recipe.steps.begin(), steps.begin(), steps.end());
  return recipe;
}

std::vector<Choice> shapes_of(const std::set<std::string>& kinds, const ShapeQuestions& questions) {
  std::vector<Choice> all;
  for (const ChoiceKind* kind : chosen_kinds(kinds)) {
    if (!kind->shapes) continue;
    std::ranges::move(kind->shapes(questions), std::back_inserter(all));
  }
  return all;
}

std::optional<ShapeOutline> outline_of(const Checkpoint& checkpoint, const Choice& shape) {
  return unless_refused([&] {
    Checkpoint outlined = checkpoint;
    std::vector<std::int64_t> blocks = all_blocks(checkpoint);
    for (const RecipeStep& step : shape.steps) {
      std::vector<std::int64_t> left = blocks_left(parse_architecture(outlined.config()), step);
      for (std::int64_t& block : left) block = blocks[static_cast<std::size_t>(block)];
      blocks = std::move(left);
      outlined = outline(outlined, step);
    }
    return ShapeOutline{Model(std::make_shared<const Checkpoint>(outlined)), std::move(blocks)};
  });
}

ShapedChoices in_shape(const Laboratory& laboratory, const Choice& shape,
                       const ShapeOutline& outline, double kl, const ShapedChoices& as_it_is,
                       Resource resource) {
  ShapedChoices found{shape.name, shape.steps, {}, {}};
  Fits fits(outline.model, laboratory.calibration_tokens());
  const ChoiceTable& table = as_it_is.table;
  std::uint64_t others = take_inventory(outline.model).bytes;
  for (std::size_t i = 0; i < table.units.size(); ++i) {
    Unit unit = table.units[i];
    unit.places = places_left(unit, outline);
    if (unit.places.empty() && !table.units[i].is_embeddings()) continue;
    unit.measured = unit.places.size() / 2;
    const std::uint64_t left = bytes_of(outline.model, unit);
    others -= left;
    const double bytes = static_cast<double>(left) /
                         static_cast<double>(laboratory.dense_sizes(table.units[i]).stored);
    const double linears = unit.is_embeddings()
                               ? 1
                               : static_cast<double>(unit.places.size()) /
                                     static_cast<double>(table.units[i].places.size());
    auto& options = found.sensitivities.emplace_back();
    for (const auto& [number, option] : as_it_is.sensitivities[i]) {
      if (fits(unit, table.choices[i][number])) {
        options[number] = in_proportion(option, bytes, linears);
      }
    }
    found.table.units.push_back(std::move(unit));
    found.table.choices.push_back(table.choices[i]);
  }
  found.sensitivities.push_back({{0, {resource == Resource::size ? others : 0, kl}}});
  return found;
}

}  // namespace terse
