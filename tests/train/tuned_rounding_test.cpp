// Weights whose rounding is trained. The gradient of a rounding is taken to be that of what is
// rounded, so it is held against differences of the same formulas with every decision frozen.
#include "terse/train/parametrisations/tuned_rounding.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "support/grid_schemes.h"
#include "support/random_values.h"
#include "terse/methods/quantize/nearest.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

constexpr std::int64_t kRows = 5;
constexpr std::int64_t kColumns = 16;

QuantizedMatrix nearest(const QuantizationScheme& scheme, const Matrix& weight,
                        Clip clip = Clip::minmax) {
  return round_to_nearest(scheme, {scheme.bits, scheme.symmetric, clip, scheme.scale_dtype},
                          weight);
}

torch::Tensor parameter(const TunedRounding& tested, const std::string& name) {
  for (const Parameter& each : tested.parameters()) {
    if (each.name == name) return each.value;
  }
  return {};
}

// Somewhere else than where training begins.
void shake(TunedRounding& tested) {
  const torch::NoGradGuard no_grad;
  torch::manual_seed(1);
  for (const Parameter& each : tested.parameters()) {
    if (each.name == "value") {
      each.value.copy_(torch::rand_like(each.value) - 0.5);
    } else {
      each.value.copy_(torch::rand_like(each.value) * 0.4 + 0.5);
    }
  }
}

TEST(TunedRounding, BeginsAsRoundToNearest) {
  for (const QuantizationScheme& scheme : test::grid_schemes({2, 4}, 4)) {
    for (const Clip clip : {Clip::minmax, Clip::mse}) {
      const Matrix weight = test::uniform_values(kRows, kColumns, 3);
      const QuantizedMatrix start = nearest(scheme, weight, clip);
      const QuantizedMatrix found = TunedRounding(weight, start, torch::kCPU).integers();
      EXPECT_TRUE(found.scales.isApprox(start.scales, 1e-6F));
      EXPECT_EQ(found.zeros, start.zeros);
      EXPECT_EQ(found.codes, start.codes);
    }
  }
}

TEST(TunedRounding, FoldsIntoWhatItComputesWith) {
  for (const QuantizationScheme& scheme : test::grid_schemes({2, 4}, 4)) {
    const Matrix weight = test::uniform_values(kRows, kColumns, 4);
    TunedRounding tested(weight, nearest(scheme, weight), torch::kCPU);
    shake(tested);
    EXPECT_EQ(to_matrix(tested.weight()), tested.integers().dense());
    EXPECT_EQ(to_matrix(tested.weight()), tested.fold(DType::f32, false)->dense());
  }
}

// sum C W' of one row of one grid, in double; which way everything is rounded and clipped was
// decided at the place where the gradient is taken.
class Frozen {
 public:
  Frozen(const QuantizationScheme& scheme, const Matrix& weight, double step, double zero,
         const Matrix& value)
      : scheme_(scheme), weight_(weight), minimum_(weight.minCoeff()), maximum_(weight.maxCoeff()) {
    if (scheme.symmetric) maximum_ = std::max(maximum_, -minimum_);
    minimum_ = scheme.symmetric ? -maximum_ : std::min(minimum_, 0.0);
    step_ = step;
    zero_ = zero;
    value_ = value;
  }

  double sum(double low, double high, const Matrix& coefficients, std::int64_t moved = -1,
             double by = 0) const {
    const double top = scheme_.levels() - 1;
    const double exact = (high * maximum_ - low * minimum_) / top;
    const double step = exact + (step_ - base_step(top));
    const double zero =
        scheme_.symmetric ? zero_ : -low * minimum_ / step + (zero_ + base_low_ * minimum_ / step_);
    double all = 0;
    for (std::int64_t i = 0; i < weight_.size(); ++i) {
      const double before = weight_.data()[i] / step_ + value_.data()[i];
      const double rounded = std::nearbyint(before);
      const double now = weight_.data()[i] / step + value_.data()[i] + (i == moved ? by : 0);
      double multiple = now + rounded - before;
      if (rounded + zero_ < 0) multiple = -zero;
      if (rounded + zero_ > top) multiple = top - zero;
      all += coefficients.data()[i] * step * multiple;
    }
    return all;
  }

  void set_base(double low, double high) {
    base_low_ = low;
    base_high_ = high;
  }

 private:
  double base_step(double top) const {
    return (base_high_ * maximum_ - base_low_ * minimum_) / top;
  }

  QuantizationScheme scheme_;
  Matrix weight_;
  double minimum_;
  double maximum_;
  double step_ = 0;
  double zero_ = 0;
  Matrix value_;
  double base_low_ = 1;
  double base_high_ = 1;
};

TEST(TunedRounding, GradientsAreThoseOfFrozenDecisions) {
  for (const QuantizationScheme& scheme : test::grid_schemes({2, 4}, 4)) {
    if (scheme.strategy != QuantizationStrategy::channel) continue;
    const Matrix weight = test::uniform_values(kRows, kColumns, 5);
    TunedRounding tested(weight, nearest(scheme, weight), torch::kCPU);
    shake(tested);
    const Matrix coefficients = test::uniform_values(kRows, kColumns, 6);
    (tested.weight() * to_torch(coefficients, torch::kCPU)).sum().backward();
    const QuantizedMatrix now = tested.integers();
    const Matrix value = to_matrix(parameter(tested, "value").view({kRows, kColumns}));
    const Matrix of_value = to_matrix(parameter(tested, "value").grad().view({kRows, kColumns}));
    const auto scale = [&](const char* name, std::int64_t row, bool gradient) {
      const torch::Tensor all = parameter(tested, name);
      return static_cast<double>((gradient ? all.grad() : all).view({-1})[row].item<float>());
    };
    std::int64_t clipped = 0;
    for (std::int64_t r = 0; r < kRows; ++r) {
      const double high = scale("max_scale", r, false);
      const double low = scheme.symmetric ? high : scale("min_scale", r, false);
      Frozen frozen(scheme, weight.row(r), now.scales(r, 0), now.zeros[static_cast<std::size_t>(r)],
                    value.row(r));
      frozen.set_base(low, high);
      const Matrix c = coefficients.row(r);
      constexpr double kStep = 1e-4;
      const auto slope = [&](const std::function<double(double)>& sum) {
        return (sum(kStep) - sum(-kStep)) / (2 * kStep);
      };
      for (std::int64_t i = 0; i < kColumns; ++i) {
        const double expected = slope([&](double by) { return frozen.sum(low, high, c, i, by); });
        EXPECT_NEAR(of_value(r, i), expected, 1e-4);
        clipped += expected == 0.0 ? 1 : 0;
      }
      const double of_high = slope(
          [&](double by) { return frozen.sum(scheme.symmetric ? low + by : low, high + by, c); });
      EXPECT_NEAR(scale("max_scale", r, true), of_high, 1e-3 * (1 + std::abs(of_high)));
      if (scheme.symmetric) continue;
      const double of_low = slope([&](double by) { return frozen.sum(low + by, high, c); });
      EXPECT_NEAR(scale("min_scale", r, true), of_low, 1e-3 * (1 + std::abs(of_low)));
    }
    EXPECT_GT(clipped, 0);
    EXPECT_LT(clipped, kRows * kColumns / 2);
  }
}

TEST(TunedRounding, StepsGoAgainstTheSignAndStayWithinBounds) {
  const QuantizationScheme scheme{.bits = 3, .group_size = 8};
  const Matrix weight = test::uniform_values(kRows, kColumns, 7);
  TunedRounding tested(weight, nearest(scheme, weight), torch::kCPU);
  tested.weight().sum().backward();
  const torch::Tensor sign = parameter(tested, "value").grad().sign();
  tested.step_by_sign(0.125, 0.25);
  EXPECT_TRUE(torch::equal(parameter(tested, "value"), sign * -0.125));
  for (int i = 0; i < 8; ++i) {
    tested.weight().sum().backward();
    tested.step_by_sign(0.125, 0.25);
  }
  EXPECT_EQ(parameter(tested, "value").abs().max().item<float>(), 0.5F);
  for (const char* name : {"min_scale", "max_scale"}) {
    EXPECT_GE(parameter(tested, name).min().item<float>(), 0.0F);
    EXPECT_LE(parameter(tested, name).max().item<float>(), 1.0F);
  }
}

TEST(TunedRounding, ZerosStayZero) {
  const QuantizationScheme scheme{.bits = 2, .group_size = 8};
  Matrix weight = test::uniform_values(kRows, kColumns, 8);
  for (std::int64_t i = 0; i < weight.size(); i += 2) weight.data()[i] = 0.0F;
  TunedRounding tested(weight, nearest(scheme, weight), torch::kCPU);
  shake(tested);
  const Matrix found = tested.integers().dense();
  for (std::int64_t i = 0; i < weight.size(); i += 2) EXPECT_EQ(found.data()[i], 0.0F);
}

}  // namespace
}  // namespace terse::train
