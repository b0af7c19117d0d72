#include "terse/methods/quantize/grid.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "methods/random_problems.h"

namespace terse::testing {
namespace {

std::vector<GridOptions> all_grids() {
  std::vector<GridOptions> grids;
  for (int bits = 2; bits <= 8; ++bits) {
    for (const bool symmetric : {false, true}) {
      for (const Clip clip : {Clip::minmax, Clip::mse}) {
        for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
          grids.push_back({bits, symmetric, clip, dtype});
        }
      }
    }
  }
  return grids;
}

QuantizedMatrix fitted(const GridOptions& options, const Matrix& weight,
                       QuantizationStrategy strategy, std::int64_t group_size) {
  QuantizedMatrix result;
  result.scheme = {options.bits, options.symmetric, strategy, group_size};
  const bool whole = strategy == QuantizationStrategy::tensor;
  result.scales.resize(whole ? 1 : weight.rows(), result.scheme.groups(weight.cols()));
  result.zeros.resize(static_cast<std::size_t>(result.scales.size()));
  fit_weight_grids(options, weight, result);
  return result;
}

// sum |x - q(x)|^2.4 in double.
double clip_norm(const GridOptions& options, float scale, float zero,
                 const std::vector<float>& values) {
  double sum = 0;
  for (const float x : values) {
    const double code = std::clamp(std::nearbyint(static_cast<double>(x) / scale) + zero, 0.0,
                                   static_cast<double>(options.top()));
    sum += std::pow(std::abs(scale * (code - zero) - x), 2.4);
  }
  return sum;
}

std::vector<float> values_of(const Matrix& weight, std::int64_t row, std::int64_t first,
                             std::int64_t count) {
  const float* from = weight.data() + row * weight.cols() + first;
  return {from, from + count};
}

TEST(Grid, RoundsHalvesToEven) {
  for (const auto& [x, expected] : std::vector<std::pair<float, float>>{{0.5F, 0},
                                                                        {1.5F, 2},
                                                                        {2.5F, 2},
                                                                        {-0.5F, 0},
                                                                        {-1.5F, -2},
                                                                        {254.5F, 254},
                                                                        {0.49999997F, 0}}) {
    EXPECT_EQ(round_half_even(x), expected) << x;
  }
}

TEST(Grid, CodeIsThatOfTheNearestPoint) {
  Random random(1);
  for (int trial = 0; trial < 20000; ++trial) {
    const int bits = 2 + static_cast<int>(random.below(7));
    const float top = static_cast<float>((1 << bits) - 1);
    const float zero = static_cast<float>(random.below(1U << bits));
    const float scale = static_cast<float>(0.01 + random.uniform());
    const float x = static_cast<float>(scale * (1 << bits) * random.normal());
    const float expected = std::clamp(std::nearbyint(x / scale) + zero, 0.0F, top);
    ASSERT_EQ(grid_code(x, scale, zero, top), expected) << x << " " << scale << " " << zero;
  }
  EXPECT_EQ(grid_code(std::numeric_limits<float>::infinity(), 1.0F, 3.0F, 15.0F), 15.0F);
  EXPECT_EQ(grid_code(-std::numeric_limits<float>::infinity(), 1.0F, 3.0F, 15.0F), 0.0F);
  EXPECT_EQ(grid_code(std::nanf(""), 1.0F, 3.0F, 15.0F), 0.0F);
}

// Numbers worked out by hand from the published formulas.
TEST(Grid, PublishedFormulas) {
  const Grid asymmetric = range_grid({.bits = 4}, -1.0F, 2.0F);
  EXPECT_EQ(asymmetric.scale, 3.0F / 15.0F);
  EXPECT_EQ(asymmetric.zero, 5.0F);
  const Grid positive = range_grid({.bits = 2}, 1.0F, 3.0F);  // 0 is in the range
  EXPECT_EQ(positive.scale, 1.0F);
  EXPECT_EQ(positive.zero, 0.0F);
  const Grid negative = range_grid({.bits = 2}, -3.0F, -1.0F);
  EXPECT_EQ(negative.scale, 1.0F);
  EXPECT_EQ(negative.zero, 3.0F);
  const Grid symmetric = range_grid({.bits = 3, .symmetric = true}, -1.0F, 3.5F);
  EXPECT_EQ(symmetric.scale, 1.0F);
  EXPECT_EQ(symmetric.zero, 4.0F);
  const Grid zeros = range_grid({.bits = 4}, 0.0F, 0.0F);
  EXPECT_EQ(zeros.scale, 2.0F / 15.0F);
  EXPECT_EQ(zeros.zero, 7.0F);  // 2 / 15 in float32 is a little larger, so below 7.5
}

TEST(Grid, ZeroIsComputedWithTheRoundedScale) {
  // 3.02 / 255 is about 0.011843; bfloat16 has 0.0118408. -min / scale is 127.40 and 127.5+.
  const Grid grid = range_grid({.bits = 8, .scale_dtype = DType::bf16}, -1.5096F, 1.5104F);
  EXPECT_EQ(grid.scale, round_to_dtype(DType::bf16, 3.02F / 255.0F));
  EXPECT_EQ(grid.zero, std::nearbyint(1.5096F / grid.scale));
}

TEST(Grid, ScalesAreExactInTheirType) {
  const Matrix weight = random_matrix(70, 64, 2, 0.02);
  for (const GridOptions& options : all_grids()) {
    const QuantizedMatrix result = fitted(options, weight, QuantizationStrategy::group, 16);
    for (std::int64_t i = 0; i < result.scales.size(); ++i) {
      const float scale = result.scales.data()[i];
      ASSERT_EQ(scale, round_to_dtype(options.scale_dtype, scale));
      ASSERT_GT(scale, 0.0F);
      if (options.symmetric) {
        ASSERT_EQ(result.zeros[static_cast<std::size_t>(i)], 1 << (options.bits - 1));
      }
    }
  }
}

TEST(Grid, ScalesThatATypeCannotHold) {
  EXPECT_EQ(round_scale(DType::f16, 1e-9F), 0x1p-24F);
  EXPECT_EQ(round_scale(DType::f16, 1e6F), 65504.0F);
  EXPECT_EQ(round_scale(DType::bf16, 0.0F), 0x1p-126F);
  EXPECT_EQ(round_scale(DType::bf16, std::numeric_limits<float>::max()), 0x1.fep127F);
  EXPECT_EQ(round_scale(DType::f32, std::numeric_limits<float>::infinity()),
            std::numeric_limits<float>::max());
  for (const float size : {1e-12F, 1e6F, 3e38F}) {
    const Grid grid = range_grid({.bits = 4, .scale_dtype = DType::f16}, -size, size);
    EXPECT_TRUE(std::isfinite(grid.scale) && grid.scale > 0.0F) << size;
    EXPECT_TRUE(grid.zero >= 0.0F && grid.zero <= 15.0F) << size;
  }
}

TEST(Grid, MinMaxHoldsEveryValue) {
  const Matrix weight = random_matrix(100, 60, 3);
  for (const bool symmetric : {false, true}) {
    const GridOptions options{4, symmetric, Clip::minmax, DType::f32};
    const QuantizedMatrix result = fitted(options, weight, QuantizationStrategy::group, 20);
    for (std::int64_t r = 0; r < weight.rows(); ++r) {
      for (std::int64_t c = 0; c < weight.cols(); ++c) {
        const float scale = result.scales(r, c / 20);
        const float zero = result.zeros[static_cast<std::size_t>(r * 3 + c / 20)];
        const float code = grid_code(weight(r, c), scale, zero, options.top());
        ASSERT_LE(std::abs(weight(r, c) - scale * (code - zero)), scale * 1.001F);
        if (!symmetric) continue;
        ASSERT_LE(std::abs(weight(r, c) - scale * (code - zero)), scale * 0.5001F);
      }
    }
  }
}

TEST(Grid, ClippingFindsTheLeastOfItsNorm) {
  const Matrix weight = random_matrix(67, 64, 4);
  for (const GridOptions& options : all_grids()) {
    if (options.clip == Clip::minmax || options.bits > 4) continue;
    const QuantizedMatrix result = fitted(options, weight, QuantizationStrategy::group, 32);
    for (std::int64_t r = 0; r < weight.rows(); r += 11) {
      const std::vector<float> values = values_of(weight, r, 32, 32);
      const auto [low, high] = std::ranges::minmax(values);
      double least = std::numeric_limits<double>::infinity();
      for (int i = 0; i < 80; ++i) {
        const auto share = static_cast<float>(1 - i / 100.0);
        const Grid grid = range_grid(options, share * low, share * high);
        least = std::min(least, clip_norm(options, grid.scale, grid.zero, values));
      }
      const double found = clip_norm(options, result.scales(r, 1),
                                     result.zeros[static_cast<std::size_t>(r * 2 + 1)], values);
      EXPECT_LE(found, least * (1 + 1e-5));
    }
  }
}

TEST(Grid, OneGridForATensorIsThatOfOneLongRow) {
  const Matrix weight = random_matrix(130, 48, 5);
  const Matrix row = Eigen::Map<const Matrix>(weight.data(), 1, weight.size());
  for (const Clip clip : {Clip::minmax, Clip::mse}) {
    const GridOptions options{3, false, clip, DType::f32};
    const QuantizedMatrix whole = fitted(options, weight, QuantizationStrategy::tensor, 0);
    const QuantizedMatrix channel = fitted(options, row, QuantizationStrategy::channel, 0);
    EXPECT_EQ(whole.scales(0, 0), channel.scales(0, 0));
    EXPECT_EQ(whole.zeros, channel.zeros);
  }
}

TEST(Grid, TransposedColumnsGiveTheSameGrids) {
  const Matrix weight = random_matrix(150, 24, 6);
  const Matrix columns = weight.transpose();
  const GridOptions options{4, false, Clip::mse, DType::f16};
  const QuantizedMatrix expected = fitted(options, weight, QuantizationStrategy::channel, 0);
  std::vector<float> scales(150);
  std::vector<float> zeros(150);
  fit_grids(options, columns.data(), 150, 24, 150, scales.data(), zeros.data());
  for (std::size_t r = 0; r < 150; ++r) {
    EXPECT_EQ(scales[r], expected.scales(static_cast<std::int64_t>(r), 0));
    EXPECT_EQ(zeros[r], expected.zeros[r]);
  }
}

}  // namespace
}  // namespace terse::testing
