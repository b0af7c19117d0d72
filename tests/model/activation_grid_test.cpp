#include "terse/model/activation_grid.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "terse/core/random.h"
#include "terse/core/threads.h"

namespace terse {
namespace {

constexpr ActivationScheme scheme_of(int bits, bool symmetric, ActivationStrategy strategy) {
  return {bits, symmetric, strategy};
}

Matrix random_inputs(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  Random random(seed);
  Matrix x(rows, columns);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) {
      x(r, c) =
          static_cast<float>((random.normal() + 0.3) * std::pow(4.0, static_cast<double>(r % 5)));
    }
  }
  return x;
}

// The formulas of the header in doubles: nearest of all points of the grid.
double nearest(double x, double scale, double zero, int bits) {
  const double half = std::pow(2.0, bits - 1);
  double best = std::numeric_limits<double>::infinity();
  for (double q = -half; q < half; ++q) {
    const double point = scale * (q - zero);
    if (std::abs(point - x) < std::abs(best - x)) best = point;
  }
  return best;
}

TEST(ActivationGrid, GridsOfRangesByHand) {
  const auto symmetric = scheme_of(8, true, ActivationStrategy::tensor);
  EXPECT_EQ(activation_grid(symmetric, -1.0F, 2.55F).scale, 2.55F / 127.5F);
  EXPECT_EQ(activation_grid(symmetric, -1.0F, 2.55F).zero, 0);
  EXPECT_EQ(activation_grid(symmetric, -5.1F, 2.55F).scale, 5.1F / 127.5F);
  const auto asymmetric = scheme_of(8, false, ActivationStrategy::tensor);
  const ActivationGrid grid = activation_grid(asymmetric, -51.0F, 204.0F);
  EXPECT_EQ(grid.scale, 1.0F);
  EXPECT_EQ(grid.zero, -77.0F);                                         // -128 + 51
  EXPECT_EQ(activation_grid(asymmetric, 10.0F, 510.0F).zero, -128.0F);  // the range begins at 0
  EXPECT_EQ(activation_grid(asymmetric, 10.0F, 510.0F).scale, 2.0F);
  EXPECT_EQ(activation_grid(asymmetric, -510.0F, -1.0F).zero, 127.0F);
  for (const bool is_symmetric : {true, false}) {
    const auto scheme = scheme_of(4, is_symmetric, ActivationStrategy::tensor);
    EXPECT_EQ(activation_grid(scheme, 0.0F, 0.0F).scale, 0x1p-23F);
  }
}

TEST(ActivationGrid, EachRowIsRoundedOnItsOwnGrid) {
  for (const int bits : {2, 4, 8}) {
    for (const bool symmetric : {true, false}) {
      const auto scheme = scheme_of(bits, symmetric, ActivationStrategy::token);
      const Matrix x = random_inputs(37, 53, static_cast<std::uint64_t>(bits));
      const Matrix rounded = round_activations(scheme, {}, x);
      for (std::int64_t r = 0; r < x.rows(); ++r) {
        const double low = std::min(0.0, static_cast<double>(x.row(r).minCoeff()));
        const double high = std::max(0.0, static_cast<double>(x.row(r).maxCoeff()));
        const double steps = std::pow(2.0, bits) - 1;
        const double half = std::pow(2.0, bits - 1);
        const double scale = symmetric ? 2 * std::max(high, -low) / steps : (high - low) / steps;
        const double zero = symmetric ? 0 : std::nearbyint(-half - low / scale);
        for (std::int64_t c = 0; c < x.cols(); ++c) {
          const double expected = nearest(x(r, c), scale, zero, bits);
          // A value in the middle between two points may go to either.
          const double error = std::abs(static_cast<double>(rounded(r, c)) - x(r, c));
          EXPECT_NEAR(error, std::abs(expected - x(r, c)), 1e-5 * scale * half) << r << " " << c;
        }
      }
    }
  }
}

TEST(ActivationGrid, StaticInputsAreClampedToTheGrid) {
  const auto scheme = scheme_of(8, false, ActivationStrategy::tensor);
  Matrix x(1, 6);
  x << -1000.0F, -10.2F, 0.0F, 0.25F, 0.75F, 1000.0F;
  const Matrix rounded = round_activations(scheme, {0.5F, -100.0F}, x);
  Matrix expected(1, 6);
  expected << -14.0F, -10.0F, 0.0F, 0.0F, 1.0F, 113.5F;  // ties to even
  EXPECT_EQ(rounded, expected);
}

TEST(ActivationGrid, ZerosStayZerosAndNaNStaysNaN) {
  for (const auto strategy : {ActivationStrategy::token, ActivationStrategy::tensor}) {
    for (const bool symmetric : {true, false}) {
      Matrix x = Matrix::Zero(2, 40);
      x(1, 5) = std::numeric_limits<float>::quiet_NaN();
      x(1, 6) = 3;
      const Matrix rounded = round_activations(scheme_of(8, symmetric, strategy), {0.1F, 0}, x);
      EXPECT_TRUE(rounded.row(0).isZero(0));
      EXPECT_TRUE(std::isnan(rounded(1, 5)));
      EXPECT_NEAR(rounded(1, 6), 3, 0.051);
    }
  }
}

TEST(ActivationGrid, ARowDependsOnNoOtherAndOnNoThread) {
  const auto scheme = scheme_of(8, false, ActivationStrategy::token);
  const Matrix x = random_inputs(200, 333, 9);
  const int before = thread_count();
  set_thread_count(1);
  const Matrix expected = round_activations(scheme, {}, x);
  for (const int threads : {2, 3, 5}) {
    set_thread_count(threads);
    EXPECT_EQ(round_activations(scheme, {}, x), expected);
  }
  set_thread_count(before);
  for (const std::int64_t r : {0, 7, 199}) {
    EXPECT_EQ(round_activations(scheme, {}, x.row(r)), Matrix(expected.row(r)));
  }
  EXPECT_EQ(round_activations(scheme, {}, Matrix(0, 5)).rows(), 0);
}

}  // namespace
}  // namespace terse
