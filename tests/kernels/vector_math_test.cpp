#include "terse/kernels/vector_math.h"

#include <algorithm>
#include <functional>
#include <limits>

#include "kernels/kernel_test.h"

namespace terse::kernels {
namespace {

using Floats = std::vector<float>;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr std::int64_t kSizes[] = {1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 100, 1027};

class VectorMathTest : public KernelTest {};

INSTANTIATE_TEST_SUITE_P(Sets, VectorMathTest, testing::ValuesIn(available_instruction_sets()),
                         set_name);

/// Runs `operation` on copies of `x` at every offset from a cache line, checks that all give the
/// same bits and write nothing beyond, and returns the result.
Floats at_every_alignment(const Floats& x, const std::function<void(float*)>& operation) {
  Floats first;
  for (std::size_t offset = 0; offset < 17; ++offset) {
    Floats buffer(x.size() + 34, 123.0F);
    std::copy(x.begin(), x.end(), buffer.begin() + static_cast<std::ptrdiff_t>(offset));
    operation(buffer.data() + offset);
    const Floats result(buffer.begin() + static_cast<std::ptrdiff_t>(offset),
                        buffer.begin() + static_cast<std::ptrdiff_t>(offset + x.size()));
    if (first.empty()) first = result;
    EXPECT_TRUE(same_bits(first.data(), result.data(), static_cast<std::int64_t>(x.size())));
    for (std::size_t i = 0; i < buffer.size(); ++i) {
      const bool outside = i < offset || i >= offset + x.size();
      EXPECT_TRUE(!outside || buffer[i] == 123.0F) << i;
    }
  }
  return first;
}

double gelu_reference(double x) {
  return 0.5 * x * std::erfc(-x * M_SQRT1_2);
}

double gelu_tanh_reference(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

double silu_reference(double x) {
  return x / (1 + std::exp(-x));
}

struct Activation {
  const char* name;
  void (*run)(float*, const float*, std::int64_t);
  double (*reference)(double);
  double relative;
  double absolute;
};

const Activation kActivations[] = {
    {"relu", relu, [](double x) { return x > 0 ? x : 0; }, 0, 0},
    {"gelu", gelu, gelu_reference, 1e-6, 1e-7},
    {"gelu_tanh", gelu_tanh, gelu_tanh_reference, 1e-6, 1e-7},
    {"silu", silu, silu_reference, 3e-7, 1e-37},
};

TEST_P(VectorMathTest, ActivationsAgreeOverTheirWholeRange) {
  Floats x;
  for (int i = -40000; i <= 40000; ++i) x.push_back(static_cast<float>(i) * 3e-4F);
  for (float scale = 1e-30F; scale < 1e30F; scale *= 3) {
    x.push_back(scale);
    x.push_back(-scale);
  }
  for (const Activation& activation : kActivations) {
    Floats y = x;
    activation.run(y.data(), nullptr, static_cast<std::int64_t>(y.size()));
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double want = activation.reference(x[i]);
      ASSERT_NEAR(y[i], want, activation.relative * std::abs(want) + activation.absolute)
          << activation.name << "(" << x[i] << ")";
    }
  }
}

TEST_P(VectorMathTest, ActivationsMultiplyByTheFactorAtEverySize) {
  for (const Activation& activation : kActivations) {
    for (const std::int64_t size : kSizes) {
      const Floats x = random_floats(size, 1, 3.0F);
      const Floats factor = random_floats(size, 2);
      const Floats y = at_every_alignment(
          x, [&](float* values) { activation.run(values, factor.data(), size); });
      for (std::int64_t i = 0; i < size; ++i) {
        const double want = activation.reference(x[i]) * factor[i];
        ASSERT_NEAR(y[i], want, 2e-6 * std::abs(want) + 1e-6) << activation.name << " " << i;
      }
    }
  }
}

TEST_P(VectorMathTest, ActivationsKeepNanAndTakeInfinity) {
  for (const Activation& activation : kActivations) {
    Floats x(19, 1.0F);
    x[2] = x[18] = kNan;
    x[3] = kInfinity;
    activation.run(x.data(), nullptr, 19);
    for (const std::size_t i : {2U, 18U}) EXPECT_TRUE(std::isnan(x[i])) << activation.name;
    EXPECT_EQ(x[3], kInfinity) << activation.name;
  }
}

TEST_P(VectorMathTest, RmsNorm) {
  for (const std::int64_t size : kSizes) {
    const Floats x = random_floats(size, 3, 5.0F);
    const Floats weight = random_floats(size, 4);
    double squares = 0;
    for (const float value : x) squares += double{value} * value;
    const double factor = 1 / std::sqrt(squares / static_cast<double>(size) + 1e-5);
    const Floats y = at_every_alignment(
        x, [&](float* values) { rms_norm(values, weight.data(), 1e-5F, size, values); });
    for (std::int64_t i = 0; i < size; ++i) {
      const double want = x[i] * factor * weight[i];
      ASSERT_NEAR(y[i], want, 3e-7 * std::abs(want)) << size << " " << i;
    }
  }
}

TEST_P(VectorMathTest, LayerNorm) {
  for (const std::int64_t size : kSizes) {
    Floats x = random_floats(size, 5, 5.0F);
    for (float& value : x) value += 20;
    const Floats weight = random_floats(size, 6);
    const Floats bias = random_floats(size, 7);
    double mean = 0;
    for (const float value : x) mean += value / static_cast<double>(size);
    double variance = 0;
    for (const float value : x) variance += (value - mean) * (value - mean);
    const double factor = 1 / std::sqrt(variance / static_cast<double>(size) + 1e-5);
    for (const bool with_bias : {false, true}) {
      const Floats y = at_every_alignment(x, [&](float* values) {
        layer_norm(values, weight.data(), with_bias ? bias.data() : nullptr, 1e-5F, size, values);
      });
      for (std::int64_t i = 0; i < size; ++i) {
        const double want = (x[i] - mean) * factor * weight[i] + (with_bias ? bias[i] : 0.0F);
        // The mean is subtracted as float32: half a unit in its last place, times the factor.
        const double rounding = 1e-6 * factor * std::abs(double{weight[i]});
        ASSERT_NEAR(y[i], want, 1e-6 * std::abs(want) + rounding + 3e-7) << size << " " << i;
      }
    }
  }
}

TEST_P(VectorMathTest, NormSumsStayExactOnLongRows) {
  const std::int64_t size = 1 << 20;
  Floats x(static_cast<std::size_t>(size), 1.1F);
  const Floats weight(x.size(), 1.0F);
  rms_norm(x.data(), weight.data(), 0.0F, size, x.data());
  for (const float value : x) ASSERT_NEAR(value, 1.0F, 1.2e-7F);
}

TEST_P(VectorMathTest, Add) {
  for (const std::int64_t size : kSizes) {
    const Floats x = random_floats(size, 8);
    const Floats y = random_floats(size, 9);
    const Floats sum = at_every_alignment(x, [&](float* values) { add(values, y.data(), size); });
    for (std::int64_t i = 0; i < size; ++i) EXPECT_EQ(sum[i], x[i] + y[i]);
  }
}

TEST_P(VectorMathTest, RotateHalfTurnsPairs) {
  for (const std::int64_t pairs : kSizes) {
    const Floats x = random_floats(2 * pairs, 10);
    Floats cosine;
    Floats sine;
    for (std::int64_t i = 0; i < pairs; ++i) {
      cosine.push_back(std::cos(static_cast<float>(i)));
      sine.push_back(std::sin(static_cast<float>(i)));
    }
    const Floats y = at_every_alignment(
        x, [&](float* values) { rotate_half(values, cosine.data(), sine.data(), pairs); });
    for (std::int64_t i = 0; i < pairs; ++i) {
      const double a = x[i];
      const double b = x[i + pairs];
      EXPECT_NEAR(y[i], a * cosine[i] - b * sine[i], 1e-6);
      EXPECT_NEAR(y[i + pairs], b * cosine[i] + a * sine[i], 1e-6);
    }
  }
}

TEST_P(VectorMathTest, MaxValueFindsTheLargestWhereverItIs) {
  for (const std::int64_t size : kSizes) {
    for (std::int64_t at = 0; at < size; ++at) {
      Floats x(static_cast<std::size_t>(size), -3.0F);
      x[at] = -2.0F;
      ASSERT_EQ(max_value(x.data(), size), -2.0F) << size << " " << at;
    }
  }
  EXPECT_EQ(max_value(nullptr, 0), -kInfinity);
}

TEST_P(VectorMathTest, LogSumExpAndSoftmax) {
  for (const std::int64_t size : kSizes) {
    Floats x = random_floats(size, 11, 10.0F);
    for (float& value : x) value += 500;
    const double largest = *std::max_element(x.begin(), x.end());
    double sum = 0;
    for (const float value : x) sum += std::exp(value - largest);
    EXPECT_NEAR(log_sum_exp(x.data(), size), largest + std::log(sum), 2e-7);
    const Floats y = at_every_alignment(x, [&](float* values) { softmax(values, size); });
    for (std::int64_t i = 0; i < size; ++i) {
      const double want = std::exp(x[i] - largest) / sum;
      ASSERT_NEAR(y[i], want, 5e-7 * want + 1e-37) << size << " " << i;
    }
  }
}

TEST_P(VectorMathTest, SoftmaxGivesExactZeroToMinusInfinity) {
  Floats x(20, 1.0F);
  x[3] = x[19] = -kInfinity;
  softmax(x.data(), 20);
  EXPECT_EQ(x[3], 0.0F);
  EXPECT_EQ(x[19], 0.0F);
  EXPECT_FLOAT_EQ(x[0], 1.0F / 18);
}

TEST_P(VectorMathTest, InfinityAndNanOfLogSumExp) {
  const Floats nothing(5, -kInfinity);
  EXPECT_EQ(log_sum_exp(nothing.data(), 5), -kInfinity);
  Floats x(37, 1.0F);
  x[36] = kInfinity;
  EXPECT_EQ(log_sum_exp(x.data(), 37), kInfinity);
  x[36] = kNan;
  EXPECT_TRUE(std::isnan(log_sum_exp(x.data(), 37)));
  softmax(x.data(), 37);
  EXPECT_THAT(x, testing::Each(testing::IsNan()));
}

TEST_P(VectorMathTest, ExponentialIsWithinTwoUnitsOfTheLastPlace) {
  // log_sum_exp of one value below another is the only way to e^x: softmax of (0, x) is
  // e^x / (1 + e^x), which e^x dominates below -20.
  for (double x = -87; x < -20; x += 0.0137) {
    Floats pair{0.0F, static_cast<float>(x)};
    const double want = std::exp(double{pair[1]}) / (1 + std::exp(double{pair[1]}));
    softmax(pair.data(), 2);
    ASSERT_NEAR(pair[1], want, 2.4e-7 * want) << x;
  }
}

}  // namespace
}  // namespace terse::kernels
