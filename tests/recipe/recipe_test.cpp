#include "terse/recipe/recipe.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "terse/recipe/difference.h"
#include "terse/recipe/recipe_check.h"
#include "terse/recipe/recipe_text.h"

namespace terse {
namespace {

using test::expect_error;

Json canonical(const std::string& text) {
  return to_json(parse_recipe(text, "recipe.yaml"));
}

TEST(RecipeJson, HoldsEveryFieldAndDefault) {
  const Json json = canonical(
      "calibration: {text: [a, b], seed: 3}\n"
      "steps: [{method: gptq, bits: {default: 4, mlp: 3, k_proj: 8}, targets: mlp}]\n"
      "output: {sparse: dense}");
  EXPECT_EQ(json, Json::parse(R"({
    "calibration": {"text": ["a", "b"], "text_key": "text", "tokens": "", "samples": 128,
                    "window": 0, "seed": 3},
    "training": {"text": [], "text_key": "text", "tokens": "", "window": 0,
                 "teacher": "", "teacher_outputs": "", "teacher_top_k": 0},
    "importance": "",
    "true_sequential": true,
    "steps": [{
      "method": "gptq", "targets": ["mlp"], "ignore": [], "remeasure": false,
      "bits": {"default": 4, "table": [{"selector": "mlp", "value": 3},
                                       {"selector": "k_proj", "value": 8}]},
      "strategy": "group", "group_size": 128, "symmetric": false, "clip": "minmax",
      "scale_dtype": "model", "percdamp": 0.01, "desc_act": false, "static_groups": false,
      "block_size": 128, "activations": "none", "activation_bits": 8,
      "activation_symmetric": true}],
    "output": {"embeddings_bits": 0, "dequantize": false, "pad": false, "expand": false, "sparse": "dense"}})"));
}

TEST(RecipeJson, IsTheSameForTheSameRecipe) {
  EXPECT_EQ(canonical("steps: [{method: gptq}]"),
            canonical("steps:\n- bits: '4'\n  percdamp: 1e-2\n  symmetric: 0\n  method: gptq\n"));
  EXPECT_EQ(canonical("steps: [{method: gptq, bits: {mlp: 3}}]"),
            canonical("steps: [{method: gptq, bits: {default: 4, mlp: 3}}]"));
  // Of two selectors that match, the last one counts: their order is part of the recipe.
  EXPECT_NE(canonical("steps: [{method: gptq, bits: {mlp: 3, blocks 0: 8}}]"),
            canonical("steps: [{method: gptq, bits: {blocks 0: 8, mlp: 3}}]"));
}

TEST(FirstDifference, NamesThePlaceInWords) {
  const auto difference = [](const std::string& before, const std::string& now) {
    return first_difference(canonical(before), canonical(now));
  };
  const std::string recipe = "steps: [{method: rtn}, {method: gptq}]";
  EXPECT_EQ(difference(recipe, recipe), "");
  EXPECT_EQ(difference(recipe, "steps: [{method: rtn}, {method: gptq, bits: 3}]"),
            "steps[1].bits: 4 before, 3 now");
  EXPECT_EQ(
      difference(recipe, "steps: [{method: rtn}, {method: gptq, bits: {mlp: 3}}]"),
      "steps[1].bits: 4 before, {\"default\":4,\"table\":[{\"selector\":\"mlp\",\"value\":3}]} "
      "now");
  EXPECT_EQ(difference("steps: [{method: gptq, bits: {mlp: 3}}]",
                       "steps: [{method: gptq, bits: {mlp: 5}}]"),
            "steps[0].bits.table[0].value: 3 before, 5 now");
  EXPECT_EQ(difference(recipe, "steps: [{method: rtn}]"), "steps: 2 entries before, 1 now");
  EXPECT_EQ(difference(recipe, recipe + "\ncalibration: {tokens: a.npy}"),
            "calibration.tokens: \"\" before, \"a.npy\" now");
  EXPECT_EQ(difference(recipe, "steps: [{method: rtn}, {method: rtn}]"),
            "steps[1].block_size: 128 before, absent now");
}

TEST(FirstDifference, WorksOnAnyJson) {
  EXPECT_EQ(first_difference(1, 1), "");
  EXPECT_EQ(first_difference(1, 2), "1 before, 2 now");
  EXPECT_EQ(first_difference(Json::object(), {{"a", nullptr}}), "a: absent before, null now");
  EXPECT_EQ(first_difference({{"a", 1}}, Json::array()), "{\"a\":1} before, [] now");
  const std::string text(1000, 'x');
  EXPECT_LT(first_difference(text, 1).size(), 120U);
}

TEST(RecipeCheck, RefusesRecipesFromElsewhere) {
  const auto refused = [](const Recipe& recipe, const std::string& says) {
    expect_error(ErrorKind::usage, says, [&] { check_recipe(recipe); });
  };
  Recipe good;
  good.steps = {{"rtn", {{"bits", {"4", {}}}}, {}, {}, false}};
  EXPECT_NO_THROW(check_recipe(good));

  Recipe recipe;
  refused(recipe, "without steps");
  recipe = good;
  recipe.steps[0].method = "rtm";
  refused(recipe, "unknown method 'rtm'; did you mean 'rtn'?");
  recipe = good;
  recipe.steps[0].options["bit"] = {"4", {}};
  refused(recipe, "method rtn has no option 'bit'; did you mean 'bits'?");
  recipe = good;
  recipe.steps[0].options["bits"] = {"9", {}};
  refused(recipe, "option bits: 9 is outside 2 to 8");
  recipe = good;
  recipe.steps[0].options["bits"] = {"", {{"mlp", "x"}}};
  refused(recipe, "option bits: expected an integer, found 'x'");
  recipe = good;
  recipe.steps[0].options["bits"] = {"", {{"blocks", "4"}}};
  refused(recipe, "selector 'blocks'");
  recipe = good;
  recipe.steps[0].options["bits"] = {"", {}};
  refused(recipe, "option bits: the value is empty");
  recipe = good;
  recipe.steps[0].ignore = {"("};
  refused(recipe, "selector '('");
  recipe = good;
  recipe.steps.push_back(good.steps[0]);
  recipe.steps[1].options = {{"strategy", {"tensor", {}}}, {"group_size", {"32", {}}}};
  refused(recipe, "step 2: option group_size: says nothing with strategy tensor");
  recipe = good;
  recipe.calibration.texts = {"a"};
  recipe.calibration.token_file = "b";
  refused(recipe, "both texts and token ids");
  recipe = good;
  recipe.calibration.samples = 0;
  refused(recipe, "0 samples");
  recipe = good;
  recipe.calibration.window = -1;
  refused(recipe, "windows of -1 tokens");
  recipe = good;
  recipe.output.embeddings_bits = 1;
  refused(recipe, "embeddings at 1 bits");
  recipe = good;
  recipe.training.teacher_outputs = "t";
  refused(recipe, "no step learns from a teacher");
  recipe.steps[0] = {"qat", {}, {}, {}, false};
  recipe.training.text.token_file = "b";
  refused(recipe, "no step learns from a teacher");
  recipe.steps[0].options["distill_weight"] = {"1", {}};
  EXPECT_NO_THROW(check_recipe(recipe));
  recipe.steps[0] = {"distill", {}, {}, {}, false};
  EXPECT_NO_THROW(check_recipe(recipe));
  recipe.training.teacher_top_k = -1;
  refused(recipe, "the -1 most probable tokens");
  recipe.training.teacher_top_k = 8;
  recipe.training.teacher_outputs.clear();
  refused(recipe, "teacher_top_k is of no use without a file for teacher_outputs");
}

}  // namespace
}  // namespace terse
