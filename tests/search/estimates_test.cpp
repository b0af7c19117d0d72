// What is expected of choices.
#include "terse/search/estimates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace terse {
namespace {

using testing::ElementsAre;

// Bits and what they lose: dense, 8, 4 (and a worse one), 3, 2.
const std::map<std::size_t, KnapsackOption> kUnit = {
    {0, {160, 0.0}}, {1, {80, 0.001}}, {2, {40, 0.1}}, {3, {41, 0.11}},
    {4, {30, 0.4}},  {5, {20, 1.6}},   {6, {42, 5.0}}};

TEST(Estimates, PromisingIsWhatNothingClearlyBeats) {
  EXPECT_THAT(promising(kUnit, 1.0), ElementsAre(1, 2, 4, 5));
  EXPECT_THAT(promising(kUnit, 0.8), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(promising(kUnit, 1e-9), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(Estimates, AllocationsNameTheChoices) {
  const Sensitivities two = {{{0, {100, 0.0}}, {7, {10, 1.0}}}, {{0, {100, 0.0}}, {3, {50, 0.25}}}};
  EXPECT_FALSE(least_loss(two, 59).has_value());
  EXPECT_THAT(least_loss(two, 60)->options, ElementsAre(7, 3));
  EXPECT_THAT(least_loss(two, 150)->options, ElementsAre(0, 3));
  EXPECT_EQ(least_loss(two, 150)->bytes, 150U);
  EXPECT_THAT(least_bytes(two, 1.0)->options, ElementsAre(7, 0));
  EXPECT_EQ(fewest_bytes(two), 60U);
}

TEST(Estimates, FixedAndScaled) {
  const Sensitivities two = {{{0, {100, 0.0}}, {7, {10, 1.0}}}, {{0, {100, 0.0}}, {3, {50, 0.25}}}};
  EXPECT_THAT(least_loss(with_fixed(two, 0, 7), 210)->options, ElementsAre(7, 0));
  EXPECT_FALSE(least_loss(with_fixed(two, 1, 0), 100).has_value());
  Sensitivities all = two;
  all.push_back({{0, {5, 2.0}}});
  const Sensitivities halves = scaled(all, [](std::size_t unit, std::size_t option) {
    EXPECT_LT(unit, 2U);
    return unit + option == 7 ? 0.5 : 1;
  });
  EXPECT_DOUBLE_EQ(halves[0].at(7).loss, 0.5);
  EXPECT_DOUBLE_EQ(halves[1].at(3).loss, 0.25);
  EXPECT_DOUBLE_EQ(halves[2].at(0).loss, 2.0);
}

}  // namespace
}  // namespace terse
