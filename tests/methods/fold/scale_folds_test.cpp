// Folded scales change no logit of any family.
#include "terse/methods/fold/scale_folds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "methods/random_problems.h"
#include "support/family_variants.h"
#include "support/logits.h"
#include "support/random_checkpoint.h"
#include "support/temporary_directory.h"
#include "terse/core/error.h"
#include "terse/model/cpu_operations.h"
#include "terse/model/weights/dense.h"

namespace terse {
namespace {

using test::RandomCheckpoint;
using test::TemporaryDirectory;

Model load(const RandomCheckpoint& checkpoint, const std::string& dtype = "F32") {
  const TemporaryDirectory directory;
  test::write_checkpoint(checkpoint, directory.path(), dtype);
  return Model::load(directory.path());
}

void prepare(Block& block) {
  for (auto& [role, linear] : block.linears) linear.weight->prepare();
}

Matrix logits_of(const Model& model) {
  return test::logits_of(model, {test::some_tokens(30, 67)});
}

// Between 1/8 and 8, evenly in the logarithm.
Vector random_scales(std::int64_t count, std::uint64_t seed) {
  Random random(seed);
  Vector scales(count);
  for (float& scale : scales) {
    scale = static_cast<float>(std::exp2(6.0 * random.uniform() - 3.0));
  }
  return scales;
}

double relative_change(const Matrix& before, const Matrix& after) {
  return (after - before).cwiseAbs().maxCoeff() / before.cwiseAbs().maxCoeff();
}

// Folds random scales wherever it is possible and says for how many stages it was.
int fold_everywhere(Model& model, DType vector_dtype) {
  int folded = 0;
  const Architecture& a = model.architecture();
  for (std::int64_t i = 0; i < a.num_hidden_layers; ++i) {
    for (const Stage stage : kStages) {
      const ScaleFold fold = find_fold(a, 0, stage);
      if (!fold.possible()) continue;
      const auto seed = static_cast<std::uint64_t>(10 * i) + static_cast<std::uint64_t>(stage);
      const Vector scales = random_scales(fold.channels(), seed);
      apply_fold(fold, scales, vector_dtype, model.block(i));
      ++folded;
    }
    prepare(model.block(i));
  }
  return folded;
}

class FoldEveryFamily : public ::testing::TestWithParam<test::FamilyVariant> {};

TEST_P(FoldEveryFamily, LeavesTheLogits) {
  Model model = load(GetParam().checkpoint());
  const Matrix before = logits_of(model);
  const auto blocks = static_cast<int>(model.architecture().num_hidden_layers);
  EXPECT_GE(fold_everywhere(model, DType::f32), blocks);
  EXPECT_LT(relative_change(before, logits_of(model)), 1e-5);
}

// One stage alone: errors of two stages cannot cancel, and every linear of the stage changes.
TEST_P(FoldEveryFamily, LeavesTheLogitsStageByStage) {
  Model model = load(GetParam().checkpoint());
  const Architecture& a = model.architecture();
  const Matrix before = logits_of(model);
  for (const Stage stage : kStages) {
    const ScaleFold fold = find_fold(a, 0, stage);
    if (!fold.possible()) {
      EXPECT_THROW(apply_fold(fold, Vector::Ones(a.hidden_size), DType::f32, model.block(0)),
                   Error);
      continue;
    }
    const Block kept = model.block(0);
    apply_fold(fold, random_scales(fold.channels(), 7), DType::f32, model.block(0));
    for (const LinearRole role : a.roles(0, stage)) {
      EXPECT_NE(model.block(0).linears.at(role).weight->dense(),
                kept.linears.at(role).weight->dense());
    }
    prepare(model.block(0));
    EXPECT_LT(relative_change(before, logits_of(model)), 1e-5);
    model.block(0) = kept;
  }
}

// Rounded norms change the scale, not the product. Biases of norms are another matter (see below).
TEST_P(FoldEveryFamily, LeavesTheLogitsThoughNormsAndBiasesAreRounded) {
  Model model = load(GetParam().checkpoint(), "BF16");
  const bool has_norm_bias = model.block(0).norms.begin()->second.bias.size() > 0;
  const Matrix before = logits_of(model);
  fold_everywhere(model, DType::bf16);
  EXPECT_LT(relative_change(before, logits_of(model)), has_norm_bias ? 1e-2 : 1e-5);
  for (std::int64_t i = 0; i < model.architecture().num_hidden_layers; ++i) {
    for (const auto& [role, norm] : model.block(i).norms) {
      for (const float value : norm.weight) EXPECT_EQ(value, round_to_dtype(DType::bf16, value));
      for (const float value : norm.bias) EXPECT_EQ(value, round_to_dtype(DType::bf16, value));
    }
    for (const auto& [role, linear] : model.block(i).linears) {
      for (const float value : linear.bias) EXPECT_EQ(value, round_to_dtype(DType::bf16, value));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, FoldEveryFamily, ::testing::ValuesIn(test::dense_family_variants()),
                         [](const auto& tested) { return tested.param.name; });

std::vector<bool> possible_stages(const std::string& name) {
  std::vector<bool> possible;
  for (const Stage stage : kStages) {
    possible.push_back(
        find_fold(load(test::family_variant(name)).architecture(), 0, stage).possible());
  }
  return possible;
}

TEST(ScaleFolds, ArePossibleWhereTheFunctionAllows) {
  EXPECT_THAT(possible_stages("llama"), ::testing::ElementsAre(true, true, true, true));
  EXPECT_THAT(possible_stages("qwen3"), ::testing::ElementsAre(true, true, true, true));
  EXPECT_THAT(possible_stages("gpt2"), ::testing::ElementsAre(true, true, true, false));
  EXPECT_THAT(possible_stages("gpt_neox"), ::testing::ElementsAre(true, true, true, false));
  EXPECT_THAT(possible_stages("opt"), ::testing::ElementsAre(true, true, true, true));
  EXPECT_THAT(possible_stages("opt_post_norm"), ::testing::ElementsAre(false, true, false, true));
  EXPECT_THAT(possible_stages("opt_plain"), ::testing::ElementsAre(false, true, false, false));
}

TEST(ScaleFolds, TieTheScalesOfTheQueryHeadsOfAKey) {
  const Model model = load(test::family_variant("llama_grouped_tied"));
  const Architecture& a = model.architecture();
  ASSERT_EQ(a.num_attention_heads, 4);
  ASSERT_EQ(a.num_key_value_heads, 2);
  const ScaleFold fold = find_fold(a, 0, Stage::attention_output);
  EXPECT_EQ(fold.channels(), 2 * a.head_dim);
  for (std::int64_t i = 0; i < a.head_dim; ++i) {
    const auto channel = [&](std::int64_t head) {
      return fold.channel_of_input[static_cast<std::size_t>(head * a.head_dim + i)];
    };
    EXPECT_EQ(channel(0), i);
    EXPECT_EQ(channel(1), i);
    EXPECT_EQ(channel(2), a.head_dim + i);
    EXPECT_EQ(channel(3), a.head_dim + i);
  }
}

TEST(ScaleFolds, LeaveChannelsAloneThatTheTypeCannotHold) {
  Model model = load(test::family_variant("opt"));
  const Matrix before_any = logits_of(model);
  Norm& norm = model.block(0).norms.at(NormRole::attention);
  norm.weight[0] = 0;  // only its bias is left
  norm.weight[1] = 0;
  norm.bias[1] = 0;        // nothing is left
  norm.weight[2] = 60000;  // 480000 after division
  const Matrix before = logits_of(model);
  ASSERT_GT(relative_change(before_any, before), 1e-3);
  const ScaleFold fold = find_fold(model.architecture(), 0, Stage::attention_input);
  const Vector scales = Vector::Constant(fold.channels(), 0.125F);
  const Matrix old = model.block(0).linears.at(LinearRole::q_proj).weight->dense();
  apply_fold(fold, scales, DType::f16, model.block(0));
  EXPECT_EQ(norm.weight[0], 0.0F);
  EXPECT_EQ(norm.weight[1], 0.0F);
  EXPECT_EQ(norm.bias[1], 0.0F);
  EXPECT_EQ(norm.weight[2], 60000.0F);
  const Matrix now = model.block(0).linears.at(LinearRole::q_proj).weight->dense();
  EXPECT_TRUE(now.col(0).isApprox(0.125F * old.col(0), 1e-2F));
  EXPECT_EQ(now.col(1), old.col(1));
  EXPECT_EQ(now.col(2), old.col(2));
  prepare(model.block(0));
  EXPECT_LT(relative_change(before, logits_of(model)), 1e-2);
}

TEST(ScaleFolds, RefuseScalesThatAreNone) {
  Model model = load(test::family_variant("llama"));
  const Architecture& a = model.architecture();
  const ScaleFold fold = find_fold(a, 0, Stage::attention_input);
  for (const float bad : {0.0F, -1.0F, INFINITY, NAN, 1e-40F}) {
    Vector scales = Vector::Ones(a.hidden_size);
    scales[3] = bad;
    EXPECT_THROW(apply_fold(fold, scales, DType::f32, model.block(0)), Error) << bad;
  }
  EXPECT_THROW(apply_fold(fold, Vector::Ones(3), DType::f32, model.block(0)), Error);
}

// What a step sees of a block.
struct Folding {
  explicit Folding(Model& changed) : model(changed) {
    const Architecture& a = model.architecture();
    for (const Stage stage : kStages) {
      inputs.emplace(stage, InputStatistics(a.in_features(0, stage), {}));
    }
  }

  std::vector<BlockReport> run(const ScaleFinder& find) {
    return fold_stages({0, model.architecture(), model.block(0), inputs, chosen},
                       {std::begin(kStages), std::end(kStages)}, find);
  }

  Model& model;
  std::map<StageInput, InputStatistics> inputs;
  std::function<bool(LinearRole)> chosen = [](LinearRole) { return true; };
};

FoundScales twos(const ScaleFold& fold, const InputStatistics&, const std::vector<Matrix>&) {
  return {Vector::Constant(fold.channels(), 2.0F), "two"};
}

TEST(ScaleFolds, AreReported) {
  Model model = load(test::family_variant("gpt2"));
  const std::vector<BlockReport> reports = Folding(model).run(twos);
  ASSERT_EQ(reports.size(), 4);
  EXPECT_EQ(reports[0].place, "transformer.h.0.attn.c_attn");
  EXPECT_EQ(reports[0].outcome, "scaled through ln_1 (two)");
  EXPECT_EQ(reports[1].outcome, "scaled through c_attn (two)");
  EXPECT_EQ(reports[2].outcome, "scaled through ln_2 (two)");
  EXPECT_EQ(reports[3].outcome, "skipped: no scale passes through gelu");
  EXPECT_FALSE(reports[0].skipped);
  EXPECT_TRUE(reports[3].skipped);
}

TEST(ScaleFolds, LookAtChosenLinearsAndScaleTheirNeighbours) {
  Model model = load(test::family_variant("llama"));
  const Matrix before = logits_of(model);
  const Matrix queries = model.block(0).linears.at(LinearRole::q_proj).weight->dense();
  const Matrix values = model.block(0).linears.at(LinearRole::v_proj).weight->dense();
  Folding folding(model);
  folding.chosen = [](LinearRole role) { return role == LinearRole::q_proj; };
  const auto reports = folding.run([&](const ScaleFold& fold, const InputStatistics& inputs,
                                       const std::vector<Matrix>& weights) {
    EXPECT_EQ(weights.size(), 1);
    EXPECT_EQ(weights.front(), queries);
    return twos(fold, inputs, weights);
  });
  ASSERT_EQ(reports.size(), 1);
  EXPECT_EQ(reports[0].place, "model.layers.0.self_attn.q_proj, k_proj, v_proj");
  EXPECT_EQ(model.block(0).linears.at(LinearRole::v_proj).weight->dense(), 2.0F * values);
  prepare(model.block(0));
  EXPECT_LT(relative_change(before, logits_of(model)), 1e-5);
}

TEST(ScaleFolds, KeepAStageThatNothingWasFoundFor) {
  Model model = load(test::family_variant("llama"));
  const Matrix weight = model.block(0).linears.at(LinearRole::q_proj).weight->dense();
  const auto reports =
      Folding(model).run([](const ScaleFold&, const InputStatistics&, const std::vector<Matrix>&) {
        return FoundScales{{}, "nothing to gain"};
      });
  EXPECT_EQ(reports[0].outcome, "kept: nothing to gain");
  EXPECT_EQ(model.block(0).linears.at(LinearRole::q_proj).weight->dense(), weight);
}

}  // namespace
}  // namespace terse
