#include "terse/core/random.h"

#include <gtest/gtest.h>

namespace terse {
namespace {

// splitmix64 of seed 0 gives e220a8397b1dcdaf first (Vigna's splitmix64.c); xoshiro256** of that
// state gives these.
TEST(Random, IsTheSameEverywhere) {
  Random random(0);
  EXPECT_EQ(random.next(), 0x99ec5f36cb75f2b4ULL);
  EXPECT_EQ(random.next(), 0xbf6e1f784956452aULL);
  EXPECT_EQ(random.next(), 0x1a5f849d4933e6e0ULL);
}

TEST(Random, NumbersAreInRangeWithTheRightMoments) {
  Random random(5);
  double sum = 0;
  double normal_sum = 0;
  double normal_squares = 0;
  constexpr int kCount = 200'000;
  for (int i = 0; i < kCount; ++i) {
    const double uniform = random.uniform();
    ASSERT_GE(uniform, 0.0);
    ASSERT_LT(uniform, 1.0);
    ASSERT_LT(random.below(7), 7U);
    sum += uniform;
    const double normal = random.normal();
    normal_sum += normal;
    normal_squares += normal * normal;
  }
  // Within five standard errors.
  EXPECT_NEAR(sum / kCount, 0.5, 5 * 0.2887 / std::sqrt(kCount));
  EXPECT_NEAR(normal_sum / kCount, 0.0, 5 / std::sqrt(kCount));
  EXPECT_NEAR(normal_squares / kCount, 1.0, 5 * 1.4142 / std::sqrt(kCount));
}

}  // namespace
}  // namespace terse
