#include "terse/kernels/feedback.h"

#include <cmath>
#include <limits>

#include "kernels/kernel_test.h"
#include "terse/core/random.h"

namespace terse::kernels {
namespace {

class FeedbackTest : public KernelTest {};

INSTANTIATE_TEST_SUITE_P(Sets, FeedbackTest, testing::ValuesIn(available_instruction_sets()),
                         set_name);

constexpr std::int64_t kSteps = 70;
constexpr std::int64_t kRows = 192;

struct Problem {
  std::vector<float> factors = std::vector<float>(kSteps * kSteps);
  std::vector<float> scales = std::vector<float>(kSteps * kRows);
  std::vector<float> zeros = std::vector<float>(kSteps * kRows);
  std::vector<float> running = std::vector<float>(kSteps * kRows);
  std::vector<float> errors = std::vector<float>(kSteps * kRows);
  std::vector<std::uint8_t> codes = std::vector<std::uint8_t>(kSteps * kRows);

  Problem() {
    Random random(1);
    for (float& factor : factors) factor = static_cast<float>(0.1 * random.normal());
    for (float& scale : scales) scale = static_cast<float>(0.1 + 0.2 * random.uniform());
    for (float& zero : zeros) zero = static_cast<float>(random.below(16));
    for (std::size_t i = 0; i < errors.size(); ++i) {
      errors[i] = static_cast<float>(random.normal());
      running[i] = errors[i] + static_cast<float>(0.1 * random.normal());
    }
  }

  void run() {
    std::vector<const float*> scale_rows;
    std::vector<const float*> zero_rows;
    for (std::int64_t k = 0; k < kSteps; ++k) {
      scale_rows.push_back(scales.data() + k * kRows);
      zero_rows.push_back(zeros.data() + k * kRows);
    }
    quantize_with_feedback({kSteps, kRows, factors.data(), scale_rows.data(), zero_rows.data(),
                            15.0F, running.data(), errors.data(), codes.data()});
  }
};

// Every step is checked against the errors that the kernel itself left before it, so that a value
// near the middle of two points cannot lead the reference elsewhere.
TEST_P(FeedbackTest, EveryStepFollowsTheEquations) {
  Problem problem;
  const std::vector<float> weights = problem.errors;
  problem.run();
  for (std::int64_t k = 0; k < kSteps; ++k) {
    for (std::int64_t r = 0; r < kRows; ++r) {
      const auto at = static_cast<std::size_t>(k * kRows + r);
      double value = problem.running[at];
      for (std::int64_t i = 0; i < k; ++i) {
        value += static_cast<double>(problem.factors[static_cast<std::size_t>(k * kSteps + i)]) *
                 problem.errors[static_cast<std::size_t>(i * kRows + r)];
      }
      const double position = value / problem.scales[at] + problem.zeros[at];
      const double code = problem.codes[at];
      ASSERT_LE(code, 15);
      ASSERT_NEAR(std::clamp(position, 0.0, 15.0), code, 0.5 + 1e-3) << k << " " << r;
      const float point = problem.scales[at] * (problem.codes[at] - problem.zeros[at]);
      ASSERT_EQ(problem.errors[at], weights[at] - point);
    }
  }
}

TEST_P(FeedbackTest, WhatIsNoNumberGetsTheLowestCode) {
  Problem problem;
  problem.running[5] = std::numeric_limits<float>::quiet_NaN();
  problem.running[6] = std::numeric_limits<float>::infinity();
  problem.running[7] = -std::numeric_limits<float>::infinity();
  problem.run();
  EXPECT_EQ(problem.codes[5], 0);
  EXPECT_EQ(problem.codes[6], 15);
  EXPECT_EQ(problem.codes[7], 0);
}

}  // namespace
}  // namespace terse::kernels
