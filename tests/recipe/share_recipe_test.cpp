// Recipes that tie blocks, for every family: blocks that are alike lose nothing, what is written
// loads, runs, and has a plain equivalent.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/edited_checkpoint.h"
#include "support/expect_error.h"
#include "support/family_variants.h"
#include "support/shape_recipes.h"
#include "terse/recipe/plan.h"
#include "terse/recipe/recipe_check.h"

namespace terse {
namespace {

class ShareRecipes : public test::ReshapingRecipes {
 protected:
  // Every block has the weights of the first one, and its own biases.
  void write_alike() const {
    std::map<LinearKey, Matrix> first;
    test::edit_checkpoint(directory_ / "in", directory_ / "alike",
                          [&](const Architecture& a, Block& block) {
                            for (auto& [key, linear] : block.linears) {
                              const auto known = first.emplace(key, linear.weight->dense()).first;
                              test::replace_weight(linear, known->second, a.conv1d);
                            }
                          });
  }
};

TEST_P(ShareRecipes, BlocksThatAreAlikeLoseNothing) {
  write_alike();
  for (const char* order : {"sequence", "cycle", "cycle_reversed"}) {
    for (const char* start : {"mean", "aligned"}) {
      run("alike", "out",
          fmt::format("- {{method: share, num_groups: 1, order: {}, start: {}}}\n", order, start));
      EXPECT_LT(difference("out", "alike"), 1e-4F) << order << start;
    }
  }
  EXPECT_LT(parameters("out"), parameters("alike"));
  const Model out = model("out");
  EXPECT_TRUE(out.shares(1, out.architecture().roles(1).front()));
  EXPECT_FALSE(out.checkpoint().contains(out.linear_module(1, LinearRole::down_proj) + ".weight"));
}

TEST_P(ShareRecipes, DifferencesOfHighRankBringBackTheModel) {
  const Model in = model("in");
  const Architecture& a = in.architecture();
  const std::int64_t full = std::min(a.hidden_size, a.shape(0).intermediate_size);
  run("in", "plain", "- {method: share, num_groups: 1, part: mlp}\n");
  run("in", "few", "- {method: share, num_groups: 1, part: mlp, rank: 2}\n");
  run("in", "many",
      fmt::format("- {{method: share, num_groups: 1, part: mlp, rank: {}}}\n", full - 1));
  EXPECT_LT(difference("many", "in"), 0.5F * difference("plain", "in"));
  EXPECT_LT(parameters("plain"), parameters("few"));
  EXPECT_LT(parameters("few"), parameters("in"));
  EXPECT_EQ(Model::open(directory_ / "few")
                .stored_kind(in.linear_module(1, LinearRole::down_proj), "Linear"),
            "shared + rank 2");
}

TEST_P(ShareRecipes, HaveAPlainEquivalent) {
  const std::string steps = "- {method: share, num_groups: 1, rank: 2, part: mlp}\n";
  run("in", "out", steps);
  run("in", "plain", steps, "output: {expand: true}\n");
  const Checkpoint plain = Checkpoint::open(directory_ / "plain");
  EXPECT_FALSE(has_key(plain.config(), "terse_config"));
  EXPECT_EQ(plain.names(), Checkpoint::open(directory_ / "in").names());
  EXPECT_LT(difference("plain", "out"), 1e-4F);
}

// What is shared becomes what it is shared with.
TEST_P(ShareRecipes, OtherStepsFollow) {
  const std::string steps =
      "- {method: share, num_groups: 1}\n- {method: wanda, structure: \"2:4\"}\n"
      "- {method: gptq, bits: 4, group_size: 4}\n";
  run("in", "out", steps);
  run("in", "plain", steps, "output: {expand: true}\n");
  const Model out = model("out");
  EXPECT_EQ(out.stored_kind(out.linear_module(1, LinearRole::down_proj), "Linear"), "shared");
  EXPECT_EQ(out.block(0).linears.at(LinearRole::down_proj).weight->dense(),
            out.block(1).linears.at(LinearRole::down_proj).weight->dense());
  const Model plain = model("plain");
  EXPECT_EQ(logits("plain"), logits("out"));
  EXPECT_FALSE(plain.shares_any());
  EXPECT_EQ(plain.stored_kind(plain.linear_module(1, LinearRole::down_proj), "Linear"),
            plain.stored_kind(plain.linear_module(0, LinearRole::down_proj), "Linear"));
}

INSTANTIATE_TEST_SUITE_P(Families, ShareRecipes, testing::ValuesIn(test::dense_family_variants()),
                         [](const auto& tested) { return tested.param.name; });

class ShareRecipe : public ShareRecipes {
 protected:
  test::RandomCheckpoint checkpoint() const override { return test::family_variant("llama"); }

  void expect_refused(const std::string& message, const std::string& steps,
                      const std::string& output = "") const {
    test::expect_error(ErrorKind::usage, message, [&] {
      const Recipe refused = recipe(steps, output);
      check_recipe(refused);
      Progress silent;
      compress(directory_ / "in", directory_ / "out", refused, {.force = true}, silent);
    });
  }
};

TEST_F(ShareRecipe, RefusesWhatCannotBe) {
  expect_refused("num_groups 9, where the model has 2", "- {method: share, num_groups: 9}\n");
  expect_refused("the nearest that can be tied to others are 1", "- {method: share, ratio: 0.1}\n");
  for (const char* options : {"ratio: 0.5, num_groups: 1", "rank: 2, start: mean"}) {
    test::expect_error(ErrorKind::bad_input, "leave",
                       [&] { recipe(fmt::format("- {{method: share, {}}}\n", options)); });
  }
  expect_refused("full rank", "- {method: share, rank: 1000}\n");
  expect_refused("different shape",
                 "- {method: flap, ratio: 0.3, multiple: 1}\n- {method: share, num_groups: 1}\n");
  expect_refused("cannot be cut",
                 "- {method: share, num_groups: 1}\n- {method: magnitude_sp, ratio: 0.3}\n");
  expect_refused("blocks share theirs",
                 "- {method: share, num_groups: 1}\n- {method: smoothquant}\n"
                 "- {method: rtn, bits: 4, group_size: 4}\n");
  expect_refused("no step shares weights", "- {method: rtn, bits: 4, group_size: 4}\n",
                 "output: {expand: true}\n");
  expect_refused("add expand", "- {method: share, num_groups: 1}\n", "output: {pad: true}\n");
}

TEST_F(ShareRecipe, IsPlannedAsItWillBe) {
  const std::string steps = "- {method: share, num_groups: 1, rank: 2}\n";
  run("in", "out", steps);
  const Plan planned = plan(directory_ / "in", recipe(steps), 0, directory_.path());
  EXPECT_EQ(planned.parameters, parameters("out"));
}

}  // namespace
}  // namespace terse
