// The kinds of choices that are known: each is a recipe that can be written, read and run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
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
  EXPECT_THAT(names,
              testing::ElementsAre("bits", "depth", "embeddings", "rank", "sparsity", "width"));
}

TEST(Choices, KindsThatChangeTheShapeMustBeNamed) {
  const auto names = [](const std::set<std::string>& asked) {
    std::vector<std::string> found;
    for (const ChoiceKind* kind : chosen_kinds(asked)) found.push_back(kind->name);
    return found;
  };
  EXPECT_THAT(names({}), testing::ElementsAre("bits", "embeddings", "rank", "sparsity"));
  EXPECT_THAT(names({"width", "bits"}), testing::ElementsAre("bits", "width"));
}

// Blocks go from the one that is missed least on, up to half of them in four steps at most.
TEST(Choices, DepthGoesWhereItIsMissedLeast) {
  const auto shapes = [](std::int64_t blocks) {
    Architecture a;
    a.num_hidden_layers = blocks;
    const ShapeQuestions questions{
        a, [](std::int64_t block) { return std::abs(static_cast<double>(block) - 2.2); }};
    std::vector<std::string> kept;
    for (const Choice& choice : choice_kinds().at("depth").shapes(questions)) {
      EXPECT_EQ(choice.steps.front().method, "keep");
      kept.push_back(choice.steps.front().options.at("blocks").value);
    }
    return kept;
  };
  EXPECT_THAT(shapes(1), testing::IsEmpty());
  EXPECT_THAT(shapes(2), testing::ElementsAre("0"));
  EXPECT_THAT(shapes(6), testing::ElementsAre("0,1,3,4,5", "0,1,4,5", "0,4,5"));
  EXPECT_THAT(shapes(16), testing::SizeIs(4));
  EXPECT_EQ(shapes(16).back(), "8,9,10,11,12,13,14,15");
}

// Down to half, in whole groups of 16 channels here, and heads by key-value head.
TEST(Choices, WidthGoesInWholeGroups) {
  const TemporaryDirectory directory;
  write_small_model(directory / "m");
  const Model model = Model::open(directory / "m");
  std::vector<std::string> names;
  for (const Choice& choice : choice_kinds().at("width").shapes({model.architecture(), nullptr})) {
    names.push_back(choice.name);
    EXPECT_NO_THROW(check_step(choice.steps.front()));
  }
  EXPECT_THAT(names,
              testing::ElementsAre("64 channels, 2 heads", "64 channels", "80 channels, 2 heads",
                                   "80 channels", "96 channels", "112 channels"));
}

TEST(Choices, AreStepsWithNamesOfTheirOwn) {
  const TemporaryDirectory directory;
  write_small_model(directory / "m");
  const Model model = Model::open(directory / "m");
  for (const Unit& unit : units_of(model, 1)) {
    std::set<std::string> names;
    for (const ChoiceKind* kind : chosen_kinds({})) {
      for (const Choice& choice : kind->choices(unit)) {
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
