// Recipes that turn and cut the residual stream, for every family that norms it before attention
// and before the MLP.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "support/edited_checkpoint.h"
#include "support/expect_error.h"
#include "support/family_variants.h"
#include "support/shape_recipes.h"
#include "terse/recipe/plan.h"

namespace terse {
namespace {

class SliceRecipes : public test::ReshapingRecipes {
 protected:
  std::string to_width(std::int64_t width) const {
    return fmt::format("- {{method: slicegpt, hidden_size: {}}}\n", width);
  }

  std::int64_t width() const { return Model::open(directory_ / "in").architecture().hidden_size; }

  // The stream never holds what the projection takes away.
  void write_projected(const Matrix& projection) const {
    const Model in = Model::open(directory_ / "in");
    test::edit_checkpoint(
        directory_ / "in", directory_ / "edited", [&](const Architecture& a, Block& block) {
          for (const LinearRole role : {LinearRole::o_proj, LinearRole::down_proj}) {
            Linear& linear = block.linears.at(role);
            test::edit_weight(a, linear, [&](Matrix& weight) { weight = projection * weight; });
            if (linear.bias.size() > 0) linear.bias = projection * linear.bias;
          }
        });
    CheckpointWriter writer(directory_ / "narrow", {.force = true});
    const Checkpoint edited = Checkpoint::open(directory_ / "edited");
    for (const std::string& name : edited.names()) {
      if (name != in.embedding_module() + ".weight" && name != in.positions_module() + ".weight") {
        writer.add(name, edited.tensor(name));
        continue;
      }
      const Matrix rows = edited.tensor(name).to_matrix() * projection;
      writer.add(name, Tensor::from_matrix(DType::f32, rows));
    }
    writer.finish(edited.config());
  }
};

TEST_P(SliceRecipes, WholeRotationsChangeNothing) {
  run("in", "out", to_width(width()));
  EXPECT_LT(difference("out", "in"), 1e-4F);
  EXPECT_TRUE(Model::open(directory_ / "out").architecture().shortcuts);
}

// Computational invariance and deletion: what the stream never holds can be cut off. It is the
// norms' means over fewer values, the shortcuts, and the order of directions that must be right.
TEST_P(SliceRecipes, WhatIsNeverThereCanBeCut) {
  const Vector direction = Vector::LinSpaced(width(), 1.0F, 2.0F).normalized();
  write_projected(Matrix::Identity(width(), width()) - direction * direction.transpose());
  run("narrow", "out", to_width(width() - 1));
  EXPECT_EQ(Model::open(directory_ / "out").architecture().hidden_size, width() - 1);
  EXPECT_LT(difference("out", "narrow"), 1e-4F);
}

// Layer norms subtract the mean: that direction may go.
TEST_P(SliceRecipes, MeansThatNormsSubtractCanBeCut) {
  const Architecture in = Model::open(directory_ / "in").architecture();
  run("in", "out", to_width(width() - 1));
  const Architecture out = Model::open(directory_ / "out").architecture();
  EXPECT_EQ(out.norm, NormKind::rms);
  EXPECT_EQ(out.head_dim, in.head_dim);
  EXPECT_EQ(out.intermediate_size, in.intermediate_size);
  if (in.norm == NormKind::layer) {
    EXPECT_LT(difference("out", "in"), 1e-4F);
  } else {
    EXPECT_GT(difference("out", "in"), 1e-3F);
  }
}

class NarrowRecipes : public SliceRecipes {};

TEST_P(NarrowRecipes, ChannelsThatHoldNothingGo) {
  Vector there = Vector::Ones(width());
  for (const std::int64_t channel : {1, 6, 7}) there[channel] = 0;
  write_projected(there.asDiagonal());
  for (const char* score : {"wanda", "magnitude"}) {
    run("narrow", "out",
        fmt::format("- {{method: hidden_sp, hidden_size: {}, score: {}}}\n", width() - 3, score));
    EXPECT_LT(difference("out", "narrow"), 1e-4F) << score;
    EXPECT_EQ(Model::open(directory_ / "out").architecture().hidden_size, width() - 3);
    EXPECT_FALSE(has_key(Checkpoint::open(directory_ / "out").config(), "terse_config"));
  }
}

TEST_P(NarrowRecipes, OutputsAreNearerWhereTheyAreSolvedFor) {
  const auto change = [&](const char* compensation) {
    run("in", "out",
        fmt::format("- {{method: hidden_sp, hidden_size: {}, compensation: {}}}\n", width() - 4,
                    compensation));
    return calibration_error("out", "in");
  };
  EXPECT_LT(change("least_squares"), change("none"));
}

TEST_P(SliceRecipes, OtherStepsFollow) {
  run("in", "out",
      "- {method: slicegpt, ratio: 0.3, multiple: 4}\n- {method: wanda_sp, ratio: 0.2}\n"
      "- {method: gptq, bits: 4, group_size: 4}\n");
  EXPECT_TRUE(logits("out").allFinite());
  EXPECT_LT(parameters("out"), parameters("in"));
}

std::vector<test::FamilyVariant> variants(const std::function<bool(const Architecture&)>& wanted) {
  std::vector<test::FamilyVariant> some;
  for (const test::FamilyVariant& each : test::dense_family_variants()) {
    if (wanted(parse_architecture(each.config))) some.push_back(each);
  }
  return some;
}

bool norms_in_turn(const Architecture& a) {
  return !a.norm_after && !a.parallel_residual && !a.projected_embeddings &&
         (a.norm == NormKind::rms ||
          (a.norm_affine && a.final_norm && !a.rotary && !a.biases.empty()));
}

bool has_plain_norms(const Architecture& a) {
  return a.norm == NormKind::rms;
}

INSTANTIATE_TEST_SUITE_P(Families, SliceRecipes, testing::ValuesIn(variants(norms_in_turn)),
                         [](const auto& tested) { return tested.param.name; });
INSTANTIATE_TEST_SUITE_P(Families, NarrowRecipes, testing::ValuesIn(variants(has_plain_norms)),
                         [](const auto& tested) { return tested.param.name; });

class SliceRecipe : public SliceRecipes {
 protected:
  test::RandomCheckpoint checkpoint() const override { return test::family_variant("llama"); }
};

TEST_F(SliceRecipe, TheRatioCountsTheShortcuts) {
  const auto in_blocks = [&](const std::string& name) {
    std::int64_t sum = 0;
    for (const InventoryRow& row : take_inventory(Model::open(directory_ / name)).rows) {
      if (row.role.ends_with("_proj") || row.role == "shortcuts") sum += row.parameters;
    }
    return static_cast<double>(sum);
  };
  run("in", "out", "- {method: slicegpt, ratio: 0.3, multiple: 1}\n");
  const double share = in_blocks("out") / in_blocks("in");
  EXPECT_LE(share, 0.7);
  EXPECT_GT(share, 0.66);
}

TEST_F(SliceRecipe, IsPlannedAsItWillBe) {
  const std::string steps = "- {method: slicegpt, ratio: 0.3, multiple: 4}\n";
  run("in", "out", steps);
  EXPECT_EQ(plan(directory_ / "in", recipe(steps), 0, directory_.path()).parameters,
            parameters("out"));
}

TEST_F(SliceRecipe, RefusesWhatCannotBe) {
  const auto refused = [&](const std::string& message, const std::string& steps) {
    test::expect_error(ErrorKind::usage, message, [&] { run("in", "out", steps); });
  };
  refused("hidden_size 1000, where the model has", to_width(1000));
  refused("less than the multiple", "- {method: slicegpt, ratio: 0.99, multiple: 64}\n");
  refused("cannot go where each turns",
          "- {method: slicegpt, ratio: 0.3, multiple: 4}\n- {method: shortgpt, ratio: 0.5}\n");
  test::write_checkpoint(test::family_variant("opt"), directory_ / "in", "F32");
  refused("cannot be narrower", "- {method: hidden_sp, ratio: 0.3}\n");
  test::write_checkpoint(test::family_variant("gpt_neox"), directory_ / "in", "F32");
  refused("cannot be turned", "- {method: slicegpt, ratio: 0.3}\n");
}

}  // namespace
}  // namespace terse
