// Recipes as text: what is written is read back as the same.
#include "terse/recipe/recipe_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "terse/recipe/ready_made.h"
#include "terse/recipe/recipe_text.h"

namespace terse {
namespace {

void expect_same_after_reading(const Recipe& recipe) {
  const std::string text = recipe_yaml(recipe);
  EXPECT_EQ(to_json(parse_recipe(text, "written")), to_json(recipe)) << text;
  EXPECT_EQ(recipe_yaml(parse_recipe(text, "written")), text);
}

TEST(RecipeWriter, ReadyMadeRecipesComeBack) {
  for (const ReadyMadeRecipe& ready : ready_made_recipes()) {
    expect_same_after_reading(parse_recipe(ready.text, std::string(ready.name)));
  }
}

TEST(RecipeWriter, EveryFieldComesBack) {
  const Recipe recipe = parse_recipe(R"(
calibration: {text: [notes.txt, "odd \"name\" # \\ here", "123"], text_key: body, samples: 7, window: 33, seed: 9}
true_sequential: false
steps:
  - {method: sparsegpt, sparsity: 0.25, targets: [mlp, "attention blocks 0-1"], ignore: [down_proj]}
  - method: gptq
    bits: {default: 3, "q_proj block 2": 4, "layers\\.(0|1)\\.": 8, "blocks -4--1": 5}
    clip: mse
    remeasure: true
output: {embeddings_bits: 4, dequantize: true, sparse: dense}
)",
                                     "all");
  expect_same_after_reading(recipe);
  EXPECT_THAT(recipe_yaml(recipe), testing::HasSubstr("      \"q_proj block 2\": 4\n"));
}

TEST(RecipeWriter, TrainingAndImportanceComeBack) {
  expect_same_after_reading(parse_recipe(R"(
training: {tokens: ids.npy, window: 64, teacher: big, teacher_outputs: t.safetensors, teacher_top_k: 5}
importance: scores.safetensors
steps:
  - {method: taylor, sparsity: 0.5}
  - {method: distill, max_steps: 3}
)",
                                         "learning"));
}

TEST(RecipeWriter, TablesKeepTheirOrderAndMayHaveNoDefault) {
  const Recipe recipe = parse_recipe(
      "steps:\n- method: rtn\n  bits: {up_proj: 5, block 0: 8, down_proj: 6}\n  group_size: 64\n",
      "table");
  expect_same_after_reading(recipe);
  EXPECT_EQ(recipe_yaml(recipe),
            "steps:\n  - method: rtn\n    bits:\n      up_proj: 5\n      \"block 0\": 8\n"
            "      down_proj: 6\n    group_size: 64\n");
}

}  // namespace
}  // namespace terse
