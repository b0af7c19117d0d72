// Recipes that choices make: what each linear then gets, asked of the schedule.
#include "terse/search/draft.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "search/small_model.h"
#include "support/temporary_directory.h"
#include "terse/recipe/recipe_text.h"
#include "terse/recipe/recipe_writer.h"
#include "terse/recipe/schedule.h"

namespace terse::test {
namespace {

using testing::ElementsAre;

std::vector<LinearPlace> places(LinearRole role, const std::vector<std::int64_t>& blocks) {
  std::vector<LinearPlace> all;
  for (const std::int64_t block : blocks) all.push_back({block, role, ""});
  return all;
}

TEST(Draft, SelectorsAreRunsOfBlocks) {
  EXPECT_THAT(selectors_of(places(LinearRole::up_proj, {3, 0, 1, 2}), 4), ElementsAre("up_proj"));
  EXPECT_THAT(selectors_of(places(LinearRole::up_proj, {0, 1, 3}), 5),
              ElementsAre("up_proj blocks 0-1", "up_proj block 3"));
  auto two = places(LinearRole::up_proj, {1});
  two.push_back({1, LinearRole::q_proj, ""});
  EXPECT_THAT(selectors_of(two, 2), ElementsAre("q_proj block 1", "up_proj block 1"));
}

class DraftOfAModel : public testing::Test {
 protected:
  DraftOfAModel() { write_small_model(directory_ / "m"); }

  TemporaryDirectory directory_;
};

Choice gptq(int bits, int group) {
  return {
      "",
      {step_of("gptq", {{"bits", std::to_string(bits)}, {"group_size", std::to_string(group)}})}};
}

// Every linear of a model gets a choice of its own, from several families; the schedule of
// the recipe, written and read again, has exactly those methods.
TEST_F(DraftOfAModel, EveryLinearGetsItsChoice) {
  const Model model = Model::open(directory_ / "m");
  const std::vector<Choice> all = {
      {"dense", {}},
      gptq(3, 64),
      gptq(4, 32),
      {"",
       {step_of("sparsegpt", {{"sparsity", "0.5"}}),
        step_of("gptq", {{"bits", "4"}, {"group_size", "32"}})}},
      {"", {step_of("svd_llm", {{"rank", "8"}})}},
  };
  const std::vector<Unit> units = units_of(model, 3);
  ASSERT_EQ(units.size(), 22U);
  for (std::size_t shift = 0; shift < all.size(); ++shift) {
    std::vector<const Choice*> chosen;
    for (std::size_t i = 0; i < units.size(); ++i) {
      chosen.push_back(&all[(i * i + shift) % all.size()]);
    }
    const Choice embeddings{"", {}, 5};
    chosen.back() = &embeddings;
    Recipe settings;
    settings.calibration.samples = 3;
    const Recipe recipe = parse_recipe(recipe_yaml(recipe_of(units, chosen, settings)), "written");
    EXPECT_EQ(recipe.output.embeddings_bits, 5);
    EXPECT_EQ(recipe.calibration.samples, 3);
    const Schedule schedule(model, recipe.steps, 100000);
    for (std::size_t i = 0; i + 1 < units.size(); ++i) {
      const LinearPlace& place = units[i].places.front();
      const auto& steps = schedule.linear_steps(place.block, place.role);
      ASSERT_EQ(steps.size(), chosen[i]->steps.size()) << units[i].name;
      for (std::size_t s = 0; s < steps.size(); ++s) {
        EXPECT_EQ(steps[s].info->name, chosen[i]->steps[s].method);
      }
    }
  }
}

TEST_F(DraftOfAModel, OptionsThatDifferBecomeTables) {
  const Model model = Model::open(directory_ / "m");
  const std::vector<Unit> units = units_of(model, 3);
  const Choice three = gptq(3, 64);
  const Choice four = gptq(4, 64);
  std::vector<const Choice*> chosen(units.size(), &three);
  for (std::size_t i = 0; i < units.size(); ++i) {
    if (units[i].name == "v_proj block 1" || units[i].name.starts_with("down_proj")) {
      chosen[i] = &four;
    }
  }
  EXPECT_EQ(recipe_yaml(recipe_of(units, chosen, {})),
            "steps:\n  - method: gptq\n    bits:\n      default: 3\n      \"v_proj block 1\": 4\n"
            "      down_proj: 4\n    group_size: 64\n");
  const Choice dense{"dense", {}};
  std::ranges::fill(chosen, &dense);
  EXPECT_TRUE(recipe_of(units, chosen, {}).steps.empty());
}

// What embedding and head are rounded with is the plain value, however few linears have it.
TEST_F(DraftOfAModel, PlainValuesAreThoseOfEmbeddings) {
  const Model model = Model::open(directory_ / "m");
  const std::vector<Unit> units = units_of(model, 3);
  const Choice minmax{"", {step_of("rtn", {{"clip", "minmax"}, {"group_size", "64"}})}};
  const Choice embeddings{"", {step_of("rtn", {{"clip", "mse"}})}, 6};
  std::vector<const Choice*> chosen(units.size(), &minmax);
  chosen.back() = &embeddings;
  EXPECT_EQ(recipe_yaml(recipe_of(units, chosen, {})),
            "steps:\n  - method: rtn\n    clip:\n      default: mse\n      q_proj: minmax\n"
            "      k_proj: minmax\n      v_proj: minmax\n      o_proj: minmax\n"
            "      gate_proj: minmax\n      up_proj: minmax\n      down_proj: minmax\n"
            "    group_size: 64\noutput:\n  embeddings_bits: 6\n");
}

TEST_F(DraftOfAModel, UnitsHoldEveryLinearOnce) {
  const Model model = Model::open(directory_ / "m");
  for (const std::int64_t parts : {1, 2, 3}) {
    std::set<std::string> modules;
    for (const Unit& unit : units_of(model, parts)) {
      EXPECT_EQ(unit.is_embeddings(), unit.name == "embeddings");
      for (const LinearPlace& place : unit.places) {
        EXPECT_TRUE(modules.insert(place.module).second);
        EXPECT_TRUE(Selector(unit.name).matches(place, 3));
      }
    }
    EXPECT_EQ(modules.size(), 21U);
  }
}

}  // namespace
}  // namespace terse::test
