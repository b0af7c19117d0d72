#include "terse/kernels/feedback.h"

#include <algorithm>
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

  // Without grids.
  FeedbackBlock block() {
    return {.steps = kSteps,
            .lanes = kRows,
            .factors = factors.data(),
            .scales = nullptr,
            .zeros = nullptr,
            .top = 15.0F,
            .running = running.data(),
            .errors = errors.data(),
            .codes = codes.data()};
  }

  // w' of a step, from the errors that the kernel left before it.
  double value(const std::vector<float>& before, std::int64_t k, std::int64_t r,
               std::int64_t end) const {
    double sum = before[static_cast<std::size_t>(k * kRows + r)];
    for (std::int64_t i = 0; i < end; ++i) {
      sum += static_cast<double>(factors[static_cast<std::size_t>(k * kSteps + i)]) *
             errors[static_cast<std::size_t>(i * kRows + r)];
    }
    return sum;
  }

  void run(std::uint32_t* mask = nullptr) {
    std::vector<const float*> scale_rows;
    std::vector<const float*> zero_rows;
    for (std::int64_t k = 0; k < kSteps; ++k) {
      scale_rows.push_back(scales.data() + k * kRows);
      zero_rows.push_back(zeros.data() + k * kRows);
    }
    FeedbackBlock with_grids = block();
    with_grids.scales = scale_rows.data();
    with_grids.zeros = zero_rows.data();
    with_grids.mask = mask;
    quantize_with_feedback(with_grids);
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
      const double value = problem.value(problem.running, k, r, k);
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

std::vector<std::uint32_t> random_mask() {
  Random random(2);
  std::vector<std::uint32_t> mask(kSteps * kRows);
  for (std::uint32_t& word : mask) word = random.below(2) == 0 ? ~0U : 0U;
  return mask;
}

TEST_P(FeedbackTest, MaskedWeightsGetTheirZeroPoint) {
  Problem problem;
  const std::vector<float> weights = problem.errors;
  std::vector<std::uint32_t> mask = random_mask();
  problem.run(mask.data());
  for (std::int64_t k = 0; k < kSteps; ++k) {
    for (std::int64_t r = 0; r < kRows; ++r) {
      const auto at = static_cast<std::size_t>(k * kRows + r);
      const double code = problem.codes[at];
      if (mask[at] != 0) {
        ASSERT_EQ(code, problem.zeros[at]);
        ASSERT_EQ(problem.errors[at], weights[at]);
        continue;
      }
      const double value = problem.value(problem.running, k, r, k);
      const double position = value / problem.scales[at] + problem.zeros[at];
      ASSERT_NEAR(std::clamp(position, 0.0, 15.0), code, 0.5 + 1e-3) << k << " " << r;
    }
  }
}

TEST_P(FeedbackTest, WithoutGridsWeightsStayRealNumbers) {
  Problem problem;
  const std::vector<float> weights = problem.errors;
  const std::vector<float> before = problem.running;
  std::vector<std::uint32_t> mask = random_mask();
  FeedbackBlock block = problem.block();
  block.mask = mask.data();
  quantize_with_feedback(block);
  for (std::int64_t k = 0; k < kSteps; ++k) {
    for (std::int64_t r = 0; r < kRows; ++r) {
      const auto at = static_cast<std::size_t>(k * kRows + r);
      const double value = mask[at] != 0 ? 0.0 : problem.value(before, k, r, k);
      ASSERT_NEAR(problem.running[at], value, 1e-4 * (1.0 + std::abs(value))) << k << " " << r;
      ASSERT_EQ(mask[at] != 0, problem.running[at] == 0.0F);
      ASSERT_EQ(problem.errors[at], weights[at] - problem.running[at]);
    }
  }
}

TEST_P(FeedbackTest, WithoutGridsAndMaskErrorsAreThoseOfTheRunningWeights) {
  Problem problem;
  problem.running = problem.errors;
  const std::vector<float> weights = problem.errors;
  quantize_with_feedback(problem.block());
  EXPECT_TRUE(same_bits(problem.running.data(), weights.data(), kSteps * kRows));
  for (const float error : problem.errors) ASSERT_EQ(error, 0.0F);
}

struct Pattern {
  std::int64_t zeros;
  std::int64_t size;
};

// The scores are computed from the errors that the kernel left: what it pruned must have scores
// no larger than what it kept, up to the last bits.
TEST_P(FeedbackTest, PatternsPruneTheLeastScores) {
  std::vector<float> roots = random_floats(kSteps, 3);
  for (float& root : roots) root = 0.5F + std::abs(root);
  for (const Pattern pattern : {Pattern{2, 5}, Pattern{1, 2}, Pattern{5, 7}, Pattern{9, 14}}) {
    Problem problem;
    const std::vector<float> weights = problem.errors;
    const std::vector<float> before = problem.running;
    std::vector<std::uint32_t> mask(kSteps * kRows, 0);
    FeedbackBlock block = problem.block();
    block.mask = mask.data();
    block.pattern_zeros = pattern.zeros;
    block.pattern_size = pattern.size;
    block.roots = roots.data();
    quantize_with_feedback(block);
    for (std::int64_t first = 0; first < kSteps; first += pattern.size) {
      for (std::int64_t r = 0; r < kRows; ++r) {
        std::vector<double> changes;
        double largest_pruned = 0.0;
        double smallest_kept = std::numeric_limits<double>::infinity();
        std::int64_t pruned = 0;
        for (std::int64_t k = first; k < first + pattern.size; ++k) {
          const auto at = static_cast<std::size_t>(k * kRows + r);
          double change = problem.value(before, k, r, first) - weights[at];
          for (std::int64_t i = first; i < k; ++i) {
            change -= problem.factors[static_cast<std::size_t>(k * kSteps + i)] *
                      changes[static_cast<std::size_t>(i - first)];
          }
          changes.push_back(change);
          const double score = std::abs(weights[at] + change) * roots[static_cast<std::size_t>(k)];
          ASSERT_EQ(mask[at] != 0, problem.running[at] == 0.0F);
          pruned += mask[at] != 0 ? 1 : 0;
          if (mask[at] != 0) largest_pruned = std::max(largest_pruned, score);
          if (mask[at] == 0) smallest_kept = std::min(smallest_kept, score);
        }
        ASSERT_EQ(pruned, pattern.zeros);
        ASSERT_LE(largest_pruned, smallest_kept + 1e-4) << first << " " << r;
      }
    }
  }
}

TEST_P(FeedbackTest, PatternsTakeMaskedWeightsFirstAndTheEarlierOfEquals) {
  Problem problem;
  std::ranges::fill(problem.errors, 1.0F);
  problem.running = problem.errors;
  std::ranges::fill(problem.factors, 0.0F);
  std::vector<std::uint32_t> mask(kSteps * kRows, 0);
  for (std::int64_t k = 4; k < kSteps; k += 5) mask[static_cast<std::size_t>(k * kRows + 7)] = ~0U;
  for (std::int64_t k = 2; k < 5; ++k) mask[static_cast<std::size_t>(k * kRows + 9)] = ~0U;
  const std::vector<float> roots(kSteps, 1.0F);
  FeedbackBlock block = problem.block();
  block.mask = mask.data();
  block.pattern_zeros = 2;
  block.pattern_size = 5;
  block.roots = roots.data();
  quantize_with_feedback(block);
  for (std::int64_t k = 0; k < kSteps; ++k) {
    const auto masked = [&](std::int64_t r) {
      return mask[static_cast<std::size_t>(k * kRows + r)] != 0;
    };
    EXPECT_EQ(masked(0), k % 5 < 2);
    EXPECT_EQ(masked(7), k % 5 == 0 || k % 5 == 4);
    // More masked than the pattern asks for: they stay, and no other is taken.
    EXPECT_EQ(masked(9), k < 5 ? k >= 2 : k % 5 < 2);
  }
}

}  // namespace
}  // namespace terse::kernels
