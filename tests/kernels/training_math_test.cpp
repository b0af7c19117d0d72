// Backward kernels against sums in double, at sizes that fill vectors and that do not.
#include "terse/kernels/training_math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "terse/core/random.h"

namespace terse::kernels {
namespace {

std::vector<float> random_row(std::int64_t size, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> row(static_cast<std::size_t>(size));
  for (float& value : row) value = static_cast<float>(random.normal());
  return row;
}

constexpr std::int64_t kSizes[] = {1, 3, 4, 15, 16, 17, 64, 257};

TEST(TrainingMath, ExpShifted) {
  for (const std::int64_t size : kSizes) {
    const std::vector<float> before = random_row(size, 1);
    std::vector<float> x = before;
    exp_shifted(x.data(), 0.75F, size);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double expected = std::exp(static_cast<double>(before[i]) - 0.75);
      EXPECT_NEAR(x[i], expected, 4e-7 * expected);
    }
  }
}

TEST(TrainingMath, RmsNormBackward) {
  for (const std::int64_t size : kSizes) {
    const auto x = random_row(size, 1), w = random_row(size, 2), dy = random_row(size, 3);
    std::vector<float> dx(x.size()), dw = random_row(size, 4);
    const std::vector<float> dw_before = dw;
    rms_norm_backward(x.data(), w.data(), dy.data(), 1e-5F, size, dx.data(), dw.data());
    double squares = 0, products = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      squares += static_cast<double>(x[i]) * x[i];
      products += static_cast<double>(x[i]) * w[i] * dy[i];
    }
    const auto n = static_cast<double>(size);
    const double r = 1 / std::sqrt(squares / n + 1e-5);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double expected =
          r * static_cast<double>(w[i]) * dy[i] - x[i] * r * r * r * products / n;
      EXPECT_NEAR(dx[i], expected, 1e-5);
      EXPECT_NEAR(dw[i], dw_before[i] + r * static_cast<double>(dy[i]) * x[i], 1e-5);
    }
  }
}

TEST(TrainingMath, GatedSiluBackward) {
  for (const std::int64_t size : kSizes) {
    const auto g = random_row(size, 1), u = random_row(size, 2), dy = random_row(size, 3);
    std::vector<float> dg(g.size()), du(g.size());
    gated_silu_backward(g.data(), u.data(), dy.data(), size, dg.data(), du.data());
    for (std::size_t i = 0; i < g.size(); ++i) {
      const double gate = g[i];
      const double s = 1 / (1 + std::exp(-gate));
      EXPECT_NEAR(du[i], dy[i] * gate * s, 2e-6);
      EXPECT_NEAR(dg[i], static_cast<double>(dy[i]) * u[i] * s * (1 + gate * (1 - s)), 4e-6);
    }
  }
}

TEST(TrainingMath, AdamWStep) {
  const AdamWStep step{0.01F, 0.99F, 0.9F, 0.95F, 1e-8F, 2.5F, 3.5F, 0.5F};
  for (const std::int64_t size : kSizes) {
    const auto g = random_row(size, 1), w0 = random_row(size, 2), m0 = random_row(size, 3);
    auto v0 = random_row(size, 4);
    for (float& value : v0) value = value * value;
    auto w = w0, m = m0, v = v0;
    adamw_step(step, g.data(), w.data(), m.data(), v.data(), size);
    for (std::size_t i = 0; i < g.size(); ++i) {
      const double grad = 0.5 * g[i];
      const double first = 0.9 * m0[i] + 0.1 * grad;
      const double second = 0.95 * v0[i] + 0.05 * grad * grad;
      EXPECT_NEAR(m[i], first, 1e-6);
      EXPECT_NEAR(v[i], second, 1e-6);
      EXPECT_NEAR(w[i], 0.99 * w0[i] - 0.01 * first * 2.5 / (std::sqrt(second * 3.5) + 1e-8), 1e-5);
    }
  }
}

}  // namespace
}  // namespace terse::kernels
