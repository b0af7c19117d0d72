// The kinds of choices that are known: each is a recipe that can be written, read and run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "search/small_model.h"
#include "support/temporary_directory.h"
#include "terse/recipe/recipe_check.h"
#include "terse/search/choice.h"
#include "terse/search/learned_rounding.h"

namespace terse::test {
namespace {

TEST(Choices, KindsByName) {
  std::vector<std::string> names;
  for (const auto& [name, kind] : choice_kinds()) {
    names.push_back(name);
    EXPECT_EQ(kind.name, name);
    EXPECT_FALSE(kind.summary.empty());
  }
  EXPECT_THAT(names, testing::ElementsAre("bits", "embeddings", "rank", "sparsity"));
}

TEST(Choices, AreStepsWithNamesOfTheirOwn) {
  const TemporaryDirectory directory;
  write_small_model(directory / "m");
  const Model model = Model::open(directory / "m");
  for (const Unit& unit : units_of(model, 1)) {
    std::set<std::string> names;
    for (const auto& entry : choice_kinds()) {
      for (const Choice& choice : entry.second.choices(unit)) {
        EXPECT_TRUE(names.insert(choice.name).second) << choice.name;
        EXPECT_FALSE(choice.steps.empty());
        EXPECT_EQ(choice.embeddings_bits > 0, unit.is_embeddings());
        for (const RecipeStep& step : choice.steps) {
          EXPECT_NO_THROW(check_step(step)) << choice.name;
        }
      }
    }
    EXPECT_GT(names.size(), 5U) << unit.name;
  }
}

TEST(Choices, LearnedRoundingKeepsTheGrid) {
  const Choice rounded{"gptq 3 bits group 64",
                       {step_of("gptq", {{"bits", "3"},
                                         {"group_size", "64"},
                                         {"clip", "mse"},
                                         {"desc_act", "true"},
                                         {"static_groups", "true"},
                                         {"percdamp", "0.1"}})}};
  const auto learned = with_learned_rounding(rounded);
  ASSERT_TRUE(learned.has_value());
  EXPECT_EQ(learned->name, "autoround 3 bits group 64");
  EXPECT_EQ(learned->steps,
            (std::vector<RecipeStep>{
                step_of("autoround", {{"bits", "3"}, {"group_size", "64"}, {"clip", "mse"}})}));
  EXPECT_NO_THROW(check_step(learned->steps.front()));
  EXPECT_FALSE(with_learned_rounding({"dense", {}}).has_value());
  EXPECT_FALSE(with_learned_rounding({"", {step_of("gptq", {{"desc_act", "true"}})}}).has_value());
  EXPECT_FALSE(with_learned_rounding({"", {step_of("rtn", {})}}).has_value());
  EXPECT_FALSE(
      with_learned_rounding({"", {step_of("sparsegpt", {}), step_of("gptq", {})}}).has_value());
}

}  // namespace
}  // namespace terse::test
