// Recipes applied to models: what is refused before anything is computed, and what is said.
#include "terse/recipe/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/paths.h"
#include "support/random_checkpoint.h"
#include "support/temporary_directory.h"
#include "terse/core/error.h"
#include "terse/recipe/compress.h"
#include "terse/recipe/recipe_text.h"

namespace terse {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// docs-llama: 6 blocks, width 256, MLP of 768.
class Schedules : public testing::Test {
 protected:
  static const Model& model() {
    static const Model opened = Model::open(test::source_path("models/docs-llama"));
    return opened;
  }

  static std::vector<RecipeStep> steps(const std::string& text) {
    return parse_recipe("steps:\n" + text, "test.yaml").steps;
  }

  static std::string refusal(const std::string& text) {
    const std::vector<RecipeStep> all = steps(text);
    try {
      const Schedule schedule(model(), all, 4096);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      return error.what();
    }
    return "accepted";
  }
};

TEST_F(Schedules, RefusesLayersThatDoNotExist) {
  EXPECT_THAT(refusal("- {method: rtn, targets: [no_such]}\n"),
              HasSubstr("target 'no_such' matches no linear"));
  EXPECT_THAT(refusal("- {method: rtn, ignore: [blocks 7]}\n"), HasSubstr("blocks 7"));
  EXPECT_THAT(refusal("- {method: rtn, bits: {default: 4, qkv_proj: 8}}\n"), HasSubstr("qkv_proj"));
}

TEST_F(Schedules, RefusesShapesThatDoNotFit) {
  EXPECT_THAT(refusal("- {method: gptq, group_size: 100}\n"),
              testing::AllOf(HasSubstr("group_size 100"), HasSubstr("layers.0.self_attn.q_proj")));
  EXPECT_THAT(refusal("- {method: wanda, structure: \"3:7\"}\n"), HasSubstr("q_proj"));
  EXPECT_EQ(refusal("- {method: gptq, group_size: 96, targets: [down_proj]}\n"), "accepted");
}

TEST_F(Schedules, RefusesStepsThatContradict) {
  EXPECT_THAT(refusal("- {method: rtn}\n- {method: gptq}\n"), HasSubstr("both quantise it"));
  EXPECT_THAT(refusal("- {method: sparsegpt, bits: 4}\n- {method: gptq}\n"),
              HasSubstr("both quantise it"));
  EXPECT_THAT(refusal("- {method: gptq}\n- {method: wanda}\n"), HasSubstr("prune first"));
  EXPECT_THAT(refusal("- {method: magnitude}\n- {method: wanda}\n"), HasSubstr("both change it"));
  EXPECT_THAT(refusal("- {method: wanda}\n- {method: smoothquant}\n"),
              HasSubstr("smoothquant must come before"));
  EXPECT_EQ(refusal("- {method: rtn, targets: [mlp]}\n- {method: gptq, targets: [attention]}\n"),
            "accepted");
  EXPECT_EQ(refusal("- {method: smoothquant}\n- {method: wanda}\n- {method: gptq}\n"), "accepted");
}

// What is refused of the second of two passes.
TEST_F(Schedules, RefusesToChangeWhatAnEarlierPassQuantised) {
  const auto after = [&](const std::string& first, const std::string& second) -> std::string {
    const auto before = steps(first);
    const auto now = steps(second);
    const Schedule earlier(model(), before, 4096);
    try {
      const Schedule later(model(), now, 4096, {}, &earlier);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(after("- {method: rtn}\n", "- {method: gptq}\n"),
              HasSubstr("an earlier pass and gptq both quantise it"));
  EXPECT_THAT(after("- {method: sparsegpt, bits: 4}\n", "- {method: rtn}\n"),
              HasSubstr("an earlier pass and rtn both quantise it"));
  EXPECT_THAT(after("- {method: rtn}\n", "- {method: wanda}\n"),
              HasSubstr("wanda comes after an earlier pass has quantised it"));
  EXPECT_THAT(after("- {method: rtn, targets: [mlp]}\n", "- {method: smoothquant}\n"),
              HasSubstr("smoothquant changes whole blocks"));
  EXPECT_EQ(after("- {method: rtn, targets: [mlp]}\n", "- {method: gptq, targets: [attention]}\n"),
            "accepted");
  EXPECT_EQ(after("- {method: wanda}\n", "- {method: smoothquant}\n"), "accepted");
  EXPECT_EQ(after("- {method: wanda}\n", "- {method: wanda}\n"), "accepted");
}

TEST_F(Schedules, KnowsWhatEarlierPassesPruned) {
  const auto first = steps("- {method: wanda, targets: [mlp]}\n");
  const auto second = steps("- {method: rtn}\n");
  const Schedule earlier(model(), first, 4096);
  EXPECT_FALSE(earlier.pruned_before(0, LinearRole::up_proj));
  const Schedule later(model(), second, 4096, {}, &earlier);
  EXPECT_TRUE(later.pruned_before(0, LinearRole::up_proj));
  EXPECT_FALSE(later.pruned_before(0, LinearRole::q_proj));
  const Schedule last(model(), {}, 4096, {}, &later);
  EXPECT_TRUE(last.pruned_before(5, LinearRole::up_proj));
}

TEST_F(Schedules, RefusesAnAllocationOfATable) {
  const auto all =
      steps("- {method: wanda, allocation: owl, sparsity: {default: 0.5, mlp: 0.6}}\n");
  const Schedule schedule(model(), all, 4096);
  try {
    static_cast<void>(schedule.allocations());
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_THAT(error.what(), HasSubstr("an allocation shares the sparsity out"));
  }
}

TEST_F(Schedules, GivesEveryLinearItsOwnOptions) {
  const auto all = steps(
      "- {method: wanda, targets: [mlp]}\n"
      "- {method: rtn, bits: {default: 4, down_proj: 8, \"blocks 5 down_proj\": 3}}\n");
  const Schedule schedule(model(), all, 4096);
  const auto bits = [&](std::int64_t block, LinearRole role) {
    const LinearStep& last = schedule.linear_steps(block, role).back();
    const LinearResult result = last.method->compress({"x", Matrix::Random(4, 256)});
    return std::get<QuantizedMatrix>(result).scheme.bits;
  };
  EXPECT_EQ(schedule.linear_steps(0, LinearRole::q_proj).size(), 1U);
  EXPECT_EQ(schedule.linear_steps(0, LinearRole::up_proj).size(), 2U);
  EXPECT_EQ(bits(0, LinearRole::q_proj), 4);
  EXPECT_EQ(bits(0, LinearRole::down_proj), 8);
  EXPECT_EQ(bits(5, LinearRole::down_proj), 3);
  EXPECT_TRUE(schedule.needs(0, Stage::mlp_input).norms);
  EXPECT_FALSE(schedule.needs(0, Stage::attention_input).any());
}

TEST_F(Schedules, RaisesDampingWhereTokensAreFewAndSaysSo) {
  const auto all = steps("- {method: gptq}\n");
  EXPECT_TRUE(Schedule(model(), all, 768).notes().empty());
  EXPECT_THAT(Schedule(model(), all, 500).notes(),
              ElementsAre(testing::AllOf(HasSubstr("500 calibration tokens"), HasSubstr("768"),
                                         HasSubstr("percdamp is raised to 0.1"))));
  const auto given = steps("- {method: gptq, percdamp: 0.02}\n");
  EXPECT_TRUE(Schedule(model(), given, 500).notes().empty());
}

TEST_F(Schedules, CutsPassesWhereActivationsAreMeasuredAgain) {
  const Recipe recipe = parse_recipe(
      "steps:\n- {method: wanda, sparsity: 0.25}\n- {method: wanda, sparsity: 0.5, remeasure: "
      "true}\n- {method: gptq}\n",
      "test.yaml");
  const auto passes = passes_of(recipe);
  ASSERT_EQ(passes.size(), 2U);
  EXPECT_EQ(passes[0].size(), 1U);
  EXPECT_EQ(passes[1].size(), 2U);
}

}  // namespace
}  // namespace terse
