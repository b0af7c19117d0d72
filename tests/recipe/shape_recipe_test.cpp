// Recipes that make a model smaller in shape, for every family: what adds nothing can go, what is
// left runs, and killed runs go on.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/edited_checkpoint.h"
#include "support/expect_error.h"
#include "support/family_variants.h"
#include "support/logits.h"
#include "support/temporary_directory.h"
#include "terse/core/file.h"
#include "terse/core/threads.h"
#include "terse/model/inventory.h"
#include "terse/model/padded.h"
#include "terse/recipe/compress.h"
#include "terse/recipe/plan.h"
#include "terse/recipe/recipe_check.h"
#include "terse/recipe/recipe_text.h"

namespace terse {
namespace {

class ShapeRecipes : public testing::TestWithParam<test::FamilyVariant> {
 protected:
  void SetUp() override {
    test::write_checkpoint(checkpoint(), directory_ / "in", "F32");
    Json ids = Json::array();
    for (int i = 0; i < 400; ++i) ids.push_back((i * i + 5 * i) % 67);
    write_file(directory_ / "ids.json", ids.dump());
  }

  virtual test::RandomCheckpoint checkpoint() const { return GetParam().checkpoint(); }

  Architecture a() const { return Model::open(directory_ / "in").architecture(); }

  Recipe recipe(const std::string& steps) const {
    return parse_recipe("calibration: {tokens: " + (directory_ / "ids.json").string() +
                            ", window: 12}\nsteps:\n" + steps,
                        "test.yaml");
  }

  CompressionReport run(const std::string& in, const std::string& out,
                        const std::string& steps) const {
    Progress silent;
    return compress(directory_ / in, directory_ / out, recipe(steps), {.force = true}, silent);
  }

  Matrix logits(const std::string& name) const {
    return test::logits_of(Model::load(directory_ / name), {test::some_tokens(16, 67)});
  }

  void expect_same(const std::string& found, const std::string& expected) const {
    const Matrix before = logits(expected);
    EXPECT_LT((logits(found) - before).cwiseAbs().maxCoeff(), 1e-4F * before.cwiseAbs().maxCoeff());
  }

  // Half of the channels never put anything out, and neither does the last key-value head.
  void write_silent() const {
    test::edit_checkpoint(
        directory_ / "in", directory_ / "silent", [](const Architecture& a, Block& block) {
          const std::int64_t left = a.intermediate_size / 2;
          test::edit_weight(a, block.linears.at(LinearRole::down_proj), [&](Matrix& weight) {
            weight.rightCols(weight.cols() - left).setZero();
          });
          if (a.num_key_value_heads == 1) return;
          test::edit_weight(a, block.linears.at(LinearRole::o_proj), [&](Matrix& weight) {
            weight.rightCols(weight.cols() / a.num_key_value_heads).setZero();
          });
        });
  }

  test::TemporaryDirectory directory_;
};

TEST_P(ShapeRecipes, UnitsThatAddNothingCanGo) {
  write_silent();
  const std::int64_t groups = a().num_key_value_heads;
  const std::int64_t heads =
      groups == 1 ? 0 : a().num_attention_heads - a().num_attention_heads / groups;
  for (const char* method : {"magnitude_sp", "wanda_sp", "flap"}) {
    run("silent", "out",
        fmt::format("- {{method: {}, intermediate_size: {}, num_attention_heads: {}}}\n", method,
                    a().intermediate_size / 2, heads));
    expect_same("out", "silent");
    EXPECT_EQ(Model::open(directory_ / "out").architecture().shape(1).intermediate_size,
              a().intermediate_size / 2);
  }
}

// Each channel twice, its output weights shared out unevenly.
TEST_P(ShapeRecipes, ChannelsThatAreDoubledCanGo) {
  test::edit_checkpoint(
      directory_ / "in", directory_ / "doubled", [](const Architecture& a, Block& block) {
        const std::int64_t half = a.intermediate_size / 2;
        for (const LinearRole role : {LinearRole::gate_proj, LinearRole::up_proj}) {
          if (!block.linears.contains(role)) continue;
          Linear& linear = block.linears.at(role);
          test::edit_weight(a, linear, [&](Matrix& weight) {
            weight.bottomRows(half) = weight.topRows(half).eval();
          });
          if (linear.bias.size() > 0) linear.bias.tail(half) = linear.bias.head(half).eval();
        }
        test::edit_weight(a, block.linears.at(LinearRole::down_proj),
                          [&](Matrix& weight) { weight.rightCols(half) *= 0.1F; });
      });
  run("doubled", "out",
      fmt::format(
          "- {{method: magnitude_sp, compensation: least_squares, intermediate_size: {}}}\n",
          a().intermediate_size / 2));
  expect_same("out", "doubled");
}

TEST_P(ShapeRecipes, BlocksOfDifferentShapesRunAndAreWorkedOn) {
  run("in", "flap", "- {method: flap, ratio: 0.4, multiple: 2}\n");
  EXPECT_TRUE(logits("flap").allFinite());
  EXPECT_LT(take_inventory(Model::open(directory_ / "flap")).parameters,
            take_inventory(Model::open(directory_ / "in")).parameters);
  run("in", "out",
      "- {method: flap, ratio: 0.4, multiple: 4}\n- {method: gptq, bits: 4, group_size: 4}\n");
  EXPECT_TRUE(logits("out").allFinite());
  run("in", "factored",
      "- {method: flap, ratio: 0.4, multiple: 4}\n- {method: svd_llm, rank: 4}\n");
  EXPECT_TRUE(logits("factored").allFinite());
}

// For programs that know the family alone.
TEST_P(ShapeRecipes, BlocksOfDifferentShapesArePadded) {
  const std::string steps =
      "- {method: flap, ratio: 0.4, multiple: 2, compensation: least_squares}\n";
  run("in", "out", steps);
  run("in", "parts", steps + "- {method: block_pruner, ratio: 0.25}\n");
  for (const char* name : {"out", "parts"}) {
    const Model model = Model::open(directory_ / name);
    try {
      const Checkpoint plain = padded(model);
      EXPECT_FALSE(has_key(plain.config(), "terse_config"));
      Model wide(std::make_shared<const Checkpoint>(plain));
      wide.load_all();
      const Matrix before = logits(name);
      const Matrix after = test::logits_of(wide, {test::some_tokens(16, 67)});
      EXPECT_LT((after - before).cwiseAbs().maxCoeff(), 1e-4F * before.cwiseAbs().maxCoeff());
    } catch (const Error& error) {
      // Families whose head size follows from the number of heads, sliding windows of blocks that
      // went, and models of which no attention or no MLP is left.
      EXPECT_THAT(error.what(), testing::AnyOf(testing::HasSubstr("cannot say"),
                                               testing::HasSubstr("must have some")));
      EXPECT_TRUE(!a().rotary || a().family == "gpt_neox" || a().family.starts_with("qwen") ||
                  std::string_view(error.what()).ends_with("must have some"));
    }
  }
}

TEST_P(ShapeRecipes, PartsOfBlocksGo) {
  run("in", "out", "- {method: block_pruner, ratio: 0.3}\n");
  EXPECT_TRUE(logits("out").allFinite());
  EXPECT_LT(take_inventory(Model::open(directory_ / "out")).parameters,
            take_inventory(Model::open(directory_ / "in")).parameters);
}

INSTANTIATE_TEST_SUITE_P(Families, ShapeRecipes, testing::ValuesIn(test::dense_family_variants()),
                         [](const auto& tested) { return tested.param.name; });

class ShapeRecipe : public ShapeRecipes {
 protected:
  test::RandomCheckpoint checkpoint() const override { return test::family_variant("llama"); }

  std::string bytes(const std::string& name) const {
    return read_file(directory_ / name / "model.safetensors") +
           read_file(directory_ / name / "config.json");
  }

  static constexpr const char* kSteps =
      "- {method: flap, ratio: 0.4, multiple: 4}\n- {method: gptq, bits: 4, group_size: 4}\n";
};

TEST_F(ShapeRecipe, IsTheSameOnAnyNumberOfThreads) {
  const int before = thread_count();
  std::string first;
  for (const int threads : {1, 2, 3}) {
    set_thread_count(threads);
    run("in", "out", kSteps);
    if (first.empty()) first = bytes("out");
    EXPECT_EQ(bytes("out"), first) << threads;
  }
  set_thread_count(before);
}

TEST_F(ShapeRecipe, UniformShapesAreOfTheFamily) {
  run("in", "out",
      "- {method: wanda_sp, intermediate_size: 10}\n- {method: shortgpt, num_hidden_layers: 1}\n");
  const Json config = read_json(directory_ / "out" / "config.json");
  EXPECT_FALSE(config.contains("terse_config"));
  EXPECT_EQ(config["intermediate_size"], 10);
  EXPECT_EQ(config["num_hidden_layers"], 1);
  Json others = config;
  Json before = read_json(directory_ / "in" / "config.json");
  for (const char* key : {"intermediate_size", "num_hidden_layers", "num_attention_heads",
                          "num_key_value_heads", "head_dim"}) {
    others.erase(key);
    before.erase(key);
  }
  EXPECT_EQ(others, before);
}

// Llama has keys for biases: a uniform model with some is plain.
TEST_F(ShapeRecipe, BiasesAreOfTheFamilyWhereItHasThem) {
  run("in", "out", "- {method: flap, intermediate_size: 10}\n");
  const Json config = read_json(directory_ / "out" / "config.json");
  EXPECT_FALSE(config.contains("terse_config"));
  EXPECT_TRUE(config["mlp_bias"].get<bool>());
}

TEST_F(ShapeRecipe, ThePlanKnowsTheSizes) {
  const Recipe planned =
      recipe("- {method: wanda_sp, ratio: 0.4}\n- {method: rtn, bits: 4, group_size: 4}\n");
  const Plan expected = plan(directory_ / "in", planned, 0, directory_.path());
  Progress silent;
  compress(directory_ / "in", directory_ / "out", planned, {}, silent);
  EXPECT_EQ(expected.parameters, take_inventory(Model::open(directory_ / "out")).parameters);
}

// What it takes to make up for what goes is more than looking takes, and more than is allowed here.
TEST_F(ShapeRecipe, ThePlanKnowsTheMemory) {
  const auto peak = [&](const std::string& steps) {
    return plan(directory_ / "in", recipe(steps), 0, directory_.path()).memory.peak();
  };
  const Recipe wanda = recipe("- {method: wanda_sp, ratio: 0.4}\n");
  EXPECT_GT(peak("- {method: wanda_sp, ratio: 0.4}\n"),
            peak("- {method: wanda_sp, ratio: 0.4, compensation: none}\n"));
  EXPECT_GT(peak("- {method: keep, num_hidden_layers: 1}\n"), 0U);
  Progress silent;
  test::expect_error(ErrorKind::usage, "the recipe needs", [&] {
    compress(directory_ / "in", directory_ / "out", wanda, {.memory = 1 << 20}, silent);
  });
  EXPECT_FALSE(exists(directory_ / "out"));
}

TEST_F(ShapeRecipe, PadsWhatItWrites) {
  Recipe flap = recipe("- {method: flap, ratio: 0.4, compensation: none, multiple: 2}\n");
  Progress silent;
  compress(directory_ / "in", directory_ / "out", flap, {}, silent);
  flap.output.pad = true;
  compress(directory_ / "in", directory_ / "padded", flap, {}, silent);
  expect_same("padded", "out");
  EXPECT_TRUE(Model::open(directory_ / "padded").architecture().block_shapes.empty());
  EXPECT_FALSE(Model::open(directory_ / "out").architecture().block_shapes.empty());
}

TEST_F(ShapeRecipe, Refused) {
  Recipe padding = recipe("- {method: flap}\n- {method: rtn, bits: 4}\n");
  padding.output.pad = true;
  test::expect_error(ErrorKind::usage, "add dequantize", [&] { check_recipe(padding); });

  test::expect_error(ErrorKind::usage, "first step",
                     [&] { run("in", "out", "- {method: rtn, bits: 4}\n- {method: flap}\n"); });
  test::expect_error(ErrorKind::usage, "where block 0 has",
                     [&] { run("in", "out", "- {method: flap, intermediate_size: 99999}\n"); });
  EXPECT_FALSE(std::filesystem::exists(directory_ / "out"));
}

}  // namespace
}  // namespace terse
