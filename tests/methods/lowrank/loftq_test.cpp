// LoftQ: the distance to the weight is the tail of what rounding lost, and iterations shorten it.
#include "terse/methods/lowrank/loftq.h"

#include <gtest/gtest.h>

#include <Eigen/SVD>

#include "terse/core/random.h"
#include "terse/methods/quantize/nearest.h"

namespace terse {
namespace {

constexpr std::int64_t kRank = 6;

Matrix original() {
  Random random(3);
  Matrix values(48, 96);
  for (float& value : values.reshaped()) value = static_cast<float>(random.normal());
  return values;
}

std::shared_ptr<GroupQuantizedWeight> rounded(const QuantizationScheme& scheme) {
  const GridOptions grid{scheme.bits, scheme.symmetric, Clip::mse, scheme.scale_dtype};
  return std::make_shared<GroupQuantizedWeight>(round_to_nearest(scheme, grid, original()));
}

double distance(const LoftqResult& result) {
  return (original() - result.quantized->dense() - result.b * result.a).norm();
}

TEST(Loftq, LeavesTheTailOfWhatRoundingLost) {
  const auto quantized = rounded({.bits = 2, .group_size = 32});
  const Matrix lost = original() - quantized->dense();
  const Eigen::JacobiSVD<Eigen::MatrixXd> svd(lost.cast<double>());
  const auto& values = svd.singularValues();
  const LoftqResult result = loftq(original(), quantized, kRank, 1);
  EXPECT_EQ(result.quantized, quantized);
  EXPECT_NEAR(distance(result), values.tail(values.size() - kRank).norm(), 1e-4);
  EXPECT_LT(distance(result), lost.norm());
}

TEST(Loftq, ComesNearerWithIterations) {
  for (const int bits : {2, 3}) {
    const auto quantized = rounded({.bits = bits, .symmetric = bits == 3, .group_size = 32});
    const double once = distance(loftq(original(), quantized, kRank, 1));
    const LoftqResult five = loftq(original(), quantized, kRank, 5);
    EXPECT_LT(distance(five), once);
    const auto& integers = dynamic_cast<const GroupQuantizedWeight&>(*five.quantized).quantized();
    EXPECT_EQ(integers.scheme, quantized->quantized().scheme);
  }
}

TEST(Loftq, KeepsTheGridOfTheInputs) {
  QuantizedMatrix integers =
      rounded({.bits = 8,
               .symmetric = true,
               .strategy = QuantizationStrategy::channel,
               .activations = ActivationScheme{8, false, ActivationStrategy::tensor}})
          ->quantized();
  integers.input_scale = 0.25F;
  integers.input_zero = -3;
  const LoftqResult result =
      loftq(original(), std::make_shared<GroupQuantizedWeight>(integers), kRank, 2);
  const auto& after = dynamic_cast<const GroupQuantizedWeight&>(*result.quantized).quantized();
  EXPECT_EQ(after.input_scale, 0.25F);
  EXPECT_EQ(after.input_zero, -3);
}

}  // namespace
}  // namespace terse
