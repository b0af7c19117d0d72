// SmoothQuant's scales against its formula, and what they do to rounded activations.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "methods/tiny_block.h"
#include "terse/core/error.h"

namespace terse::testing {
namespace {

// max|X_j|^alpha / max|W_j|^(1 - alpha), column by column.
Vector formula(const Matrix& inputs, const std::vector<Matrix>& weights, double alpha) {
  Vector scales(inputs.cols());
  for (std::int64_t c = 0; c < inputs.cols(); ++c) {
    double largest_input = 0;
    double largest_weight = 0;
    for (const float value : inputs.col(c)) {
      largest_input = std::max(largest_input, std::abs(static_cast<double>(value)));
    }
    for (const Matrix& weight : weights) {
      for (const float value : weight.col(c)) {
        largest_weight = std::max(largest_weight, std::abs(static_cast<double>(value)));
      }
    }
    scales[c] =
        static_cast<float>(std::pow(largest_input, alpha) / std::pow(largest_weight, 1 - alpha));
  }
  return scales;
}

TEST(SmoothQuant, ScalesFollowTheFormula) {
  for (const double alpha : {0.0, 0.5, 0.8, 1.0}) {
    TinyBlock tiny(1);
    tiny.set_inputs(Stage::attention_input, correlated_inputs(90, tiny.hidden(), 2));
    tiny.set_inputs(Stage::mlp_input, correlated_inputs(90, tiny.hidden(), 3));
    const Matrix query = tiny.weight(LinearRole::q_proj);
    const Matrix up = tiny.weight(LinearRole::up_proj);
    const Matrix down = tiny.weight(LinearRole::down_proj);
    const Vector attention =
        formula(tiny.input(Stage::attention_input),
                {query, tiny.weight(LinearRole::k_proj), tiny.weight(LinearRole::v_proj)}, alpha);
    const Vector mlp =
        formula(tiny.input(Stage::mlp_input), {tiny.weight(LinearRole::gate_proj), up}, alpha);

    const auto reports = tiny.transform("smoothquant", {{"alpha", fmt::format("{}", alpha)}});
    EXPECT_TRUE(tiny.weight(LinearRole::q_proj).isApprox(query * attention.asDiagonal(), 1e-6F));
    EXPECT_TRUE(tiny.weight(LinearRole::up_proj).isApprox(up * mlp.asDiagonal(), 1e-6F));
    EXPECT_EQ(tiny.weight(LinearRole::down_proj), down);  // its input comes from no norm
    const Vector expected = Vector::Constant(tiny.hidden(), 1.5F).cwiseQuotient(attention);
    EXPECT_TRUE(tiny.block().norms.at(NormRole::attention).weight.isApprox(expected, 1e-6F));
    ASSERT_EQ(reports.size(), 2);
    EXPECT_EQ(reports[0].outcome, fmt::format("scaled through input_layernorm (alpha {})", alpha));
  }
}

TEST(SmoothQuant, TiesScalesOfTheQueryHeadsOfAKey) {
  TinyBlock tiny(4);
  const Matrix inputs = correlated_inputs(90, 32, 5);
  tiny.set_inputs(Stage::attention_output, inputs);
  const Matrix before = tiny.weight(LinearRole::o_proj);
  const Matrix values = tiny.weight(LinearRole::v_proj);
  tiny.transform("smoothquant", {{"stages", "all"}});
  // Heads 0 and 1 read the values of key-value head 0, heads 2 and 3 those of 1; 8 features each.
  const auto joined = [](const Matrix& wide) {
    Matrix tall(2 * wide.rows(), 16);
    tall << wide.middleCols(0, 8), wide.middleCols(16, 8), wide.middleCols(8, 8),
        wide.middleCols(24, 8);
    return tall;
  };
  const Vector tied = formula(joined(inputs), {joined(before)}, 0.5);
  Vector scales(32);
  scales << tied.head(8), tied.head(8), tied.tail(8), tied.tail(8);
  EXPECT_TRUE(tiny.weight(LinearRole::o_proj).isApprox(before * scales.asDiagonal(), 1e-5F));
  EXPECT_TRUE(
      tiny.weight(LinearRole::v_proj).isApprox(tied.cwiseInverse().asDiagonal() * values, 1e-5F));
}

// The sum over linears of ||Q(X) Q(W)^T - X W^T||^2, inputs and rows of weights rounded to 8 bits
// around zero; inputs with one scale for all.
double rounding_error(const Matrix& inputs, const std::vector<Matrix>& weights) {
  const auto rounded = [](const Matrix& values, float largest) -> Matrix {
    const float scale = largest / 127.0F;
    return (values / scale).array().round().matrix() * scale;
  };
  const Matrix seen = rounded(inputs, inputs.cwiseAbs().maxCoeff());
  double error = 0;
  for (const Matrix& weight : weights) {
    Matrix stored = weight;
    for (std::int64_t r = 0; r < weight.rows(); ++r) {
      stored.row(r) = rounded(weight.row(r), weight.row(r).cwiseAbs().maxCoeff());
    }
    error += (seen * stored.transpose() - inputs * weight.transpose()).squaredNorm();
  }
  return error;
}

TEST(SmoothQuant, LowersTheErrorOfRoundedOutliers) {
  TinyBlock tiny(6);
  Matrix inputs = correlated_inputs(200, tiny.hidden(), 7);
  inputs.col(11) *= 60.0F;
  tiny.set_inputs(Stage::mlp_input, inputs);
  const auto weights = [&] {
    return std::vector<Matrix>{tiny.weight(LinearRole::gate_proj),
                               tiny.weight(LinearRole::up_proj)};
  };
  const double before = rounding_error(inputs, weights());
  const Vector norm = tiny.block().norms.at(NormRole::mlp).weight;
  tiny.transform("smoothquant", {});
  const Vector scales = norm.cwiseQuotient(tiny.block().norms.at(NormRole::mlp).weight);
  EXPECT_LT(rounding_error(inputs * scales.cwiseInverse().asDiagonal(), weights()), 0.2 * before);
}

TEST(SmoothQuant, KeepsZerosOfPrunedWeights) {
  TinyBlock tiny(8);
  for (const Stage stage : kStages) {
    tiny.set_inputs(stage, correlated_inputs(50, tiny.input_width(stage), 9));
  }
  std::map<LinearKey, Matrix> pruned;
  for (const auto& [key, linear] : tiny.block().linears) {
    Matrix weight = linear.weight->dense();
    for (std::int64_t i = 0; i < weight.size(); i += 2) weight.data()[i] = 0.0F;
    pruned[key] = weight;
  }
  for (const auto& [key, weight] : pruned) tiny.set_weight(key.role, weight);
  tiny.transform("smoothquant", {{"stages", "all"}});
  for (const auto& [key, weight] : pruned) {
    const Matrix now = tiny.weight(key.role);
    EXPECT_NE(now, weight);
    for (std::int64_t i = 0; i < weight.size(); ++i) {
      ASSERT_EQ(now.data()[i] == 0.0F, weight.data()[i] == 0.0F);
    }
  }
}

TEST(SmoothQuant, GuardsColumnsThatSayNothing) {
  TinyBlock tiny(10);
  Matrix inputs = correlated_inputs(50, tiny.hidden(), 11);
  inputs.col(2).setZero();
  tiny.set_inputs(Stage::mlp_input, inputs);
  for (const LinearRole role : {LinearRole::gate_proj, LinearRole::up_proj}) {
    Matrix weight = tiny.weight(role);
    weight.col(5).setZero();
    tiny.set_weight(role, weight);
  }
  tiny.transform("smoothquant", {});
  const Vector norm = tiny.block().norms.at(NormRole::mlp).weight;
  EXPECT_EQ(norm[2], 1.5F);
  EXPECT_TRUE(norm.allFinite());
  EXPECT_GT(norm.minCoeff(), 0.0F);
  EXPECT_TRUE(tiny.weight(LinearRole::up_proj).allFinite());
  // Of the other stage nothing was seen at all.
  EXPECT_EQ(tiny.block().norms.at(NormRole::attention).weight,
            Vector::Constant(tiny.hidden(), 1.5F));
}

}  // namespace
}  // namespace terse::testing
