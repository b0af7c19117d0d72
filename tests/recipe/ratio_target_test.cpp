// Ratios that are shares of operations or of time.
#include "terse/recipe/ratio_target.h"

#include <gmock/gmock.h>

#include <cmath>

#include "support/expect_error.h"
#include "support/shape_recipes.h"
#include "terse/recipe/reshape.h"
#include "terse/recipe/shape_cost.h"

namespace terse::test {
namespace {

class RatioTargets : public ReshapingRecipes {
 protected:
  Checkpoint in() const { return Checkpoint::open(directory_ / "in"); }

  RecipeStep step(const std::string& text) const { return recipe(text).steps.front(); }

  double own_ratio(const std::string& text) const {
    return options_of(with_own_ratio(in(), step(text))).number("ratio");
  }

  double operations(const Checkpoint& checkpoint) const {
    return block_operations(Model(std::make_shared<const Checkpoint>(checkpoint)).architecture());
  }

  // What stays of the operations of the blocks.
  double stays(const std::string& text, double ratio) const {
    return operations(outline(in(), with_ratio(step(text), ratio))) / operations(in());
  }
};

// Counted one by one, without the sizes of roles.
double counted_operations(const Model& model) {
  const Architecture& a = model.architecture();
  double sum = 0;
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    for (const auto& [key, linear] : model.block(block).linears) {
      sum += static_cast<double>(linear.weight->rows() * linear.weight->columns());
    }
    for (const auto& [role, weight] : model.block(block).shortcuts) {
      sum += static_cast<double>(weight->rows() * weight->columns());
    }
    sum += static_cast<double>(a.default_window() * a.query_size(block));
  }
  return sum;
}

TEST_P(RatioTargets, AreTheNearestOfAllRatios) {
  const std::string text =
      "- {method: magnitude_sp, units: channels, multiple: 1, ratio: 0.15, ratio_of: operations}\n";
  const double found = stays(text, own_ratio(text));
  double nearest = 1;
  for (int i = 1; i < 200; ++i) {
    try {
      const double share = stays(text, i / 200.0);
      if (std::abs(share - 0.85) < std::abs(nearest - 0.85)) nearest = share;
    } catch (const Error&) {  // beyond what can go
    }
  }
  EXPECT_DOUBLE_EQ(std::abs(found - 0.85), std::abs(nearest - 0.85));
  EXPECT_NEAR(found, 0.85, 0.03);
}

TEST_P(RatioTargets, CountWhatTheResultHas) {
  const std::string text =
      "- {method: magnitude_sp, multiple: 2, ratio: 0.3, ratio_of: operations}\n";
  run("in", "out", text);
  const Model out = model("out");
  EXPECT_DOUBLE_EQ(block_operations(out.architecture()), counted_operations(out));
  EXPECT_DOUBLE_EQ(block_operations(out.architecture()) / operations(in()),
                   stays(text, own_ratio(text)));
}

// Blocks of one shape take the same time each, whatever that is.
TEST_P(RatioTargets, OfTimeCountWholeBlocks) {
  const auto blocks = static_cast<double>(model("in").architecture().num_hidden_layers);
  const double ratio = own_ratio(
      fmt::format("- {{method: shortgpt, ratio: {:.3f}, ratio_of: time}}\n", 0.98 / blocks));
  EXPECT_EQ(std::lrint(blocks * ratio), 1);
}

TEST_P(RatioTargets, LeaveOtherStepsAlone) {
  for (const char* text : {"- {method: magnitude_sp, ratio: 0.3}\n", "- {method: shortgpt}\n",
                           "- {method: magnitude_sp, ratio: 0.3, ratio_of: parameters}\n"}) {
    EXPECT_EQ(with_own_ratio(in(), step(text)), step(text));
  }
}

TEST_P(RatioTargets, RefuseWhatCannotBeReached) {
  const auto refused = [&](const char* text, const char* says) {
    expect_error(ErrorKind::usage, says, [&] { with_own_ratio(in(), step(text)); });
  };
  refused("- {method: magnitude_sp, ratio: 0.999, ratio_of: operations}\n",
          "magnitude_sp: a ratio of 0.999 of the operations cannot be reached; at most 0.");
  refused("- {method: shortgpt, ratio: 0.01, ratio_of: operations}\n",
          "shortgpt: a ratio of 0.01 of the operations is too little; the least that can go is 0.");
  for (const char* sizes : {"magnitude_sp, intermediate_size: 4", "shortgpt, num_hidden_layers: 1",
                            "slicegpt, hidden_size: 4", "hidden_sp, hidden_size: 4"}) {
    expect_error(ErrorKind::bad_input, "leave one out",
                 [&] { step(fmt::format("- {{method: {}, ratio_of: operations}}\n", sizes)); });
  }
}

INSTANTIATE_TEST_SUITE_P(Families, RatioTargets, testing::ValuesIn(dense_family_variants()),
                         [](const auto& tested) { return tested.param.name; });

TEST(BlockOperations, AreOfTheExpertsThatARowTakes) {
  const TemporaryDirectory directory;
  write_checkpoint(family_variant("qwen3_moe"), directory / "in", "F32");
  const Model model = Model::load(directory / "in");
  const Architecture& a = model.architecture();
  double expected = 0;
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    for (const auto& [key, linear] : model.block(block).linears) {
      if (key.expert >= a.experts.per_token) continue;
      expected += static_cast<double>(linear.weight->rows() * linear.weight->columns());
    }
    if (const auto& router = model.block(block).router.weight) {
      expected += static_cast<double>(router->rows() * router->columns());
    }
    expected += static_cast<double>(a.default_window() * a.query_size(block));
  }
  EXPECT_DOUBLE_EQ(block_operations(a), expected);
}

// The widths of SliceGPT bring matrices on the stream with them, which are counted.
TEST(RatioTargetsOfTheStream, CountShortcuts) {
  const TemporaryDirectory directory;
  write_checkpoint(family_variant("llama"), directory / "in", "F32");
  const Checkpoint in = Checkpoint::open(directory / "in");
  const RecipeStep step =
      parse_recipe("steps:\n- {method: slicegpt, ratio: 0.2, ratio_of: operations, multiple: 1}\n",
                   "test.yaml")
          .steps.front();
  const auto architecture = [](const Checkpoint& checkpoint) {
    return Model(std::make_shared<const Checkpoint>(checkpoint)).architecture();
  };
  const Architecture out = architecture(outline(in, with_own_ratio(in, step)));
  EXPECT_TRUE(out.shortcuts);
  EXPECT_NEAR(block_operations(out) / block_operations(architecture(in)), 0.8, 0.06);
}

}  // namespace
}  // namespace terse::test
