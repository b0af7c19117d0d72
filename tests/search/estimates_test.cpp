// What is expected of choices.
#include "terse/search/estimates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace terse {
namespace {

using testing::ElementsAre;

// Bits and what they lose: dense, 8, 4 (and a worse one), 3, 2.
const std::map<std::size_t, KnapsackOption> kUnit = {{0, {160, 0.0}},   {1, {80, 0.001}},
                                                     {2, {40, 0.1}},    {3, {41, 0.11}},
                                                     {4, {30, 0.4}},    {5, {20, 1.6}},
                                                     {6, {42, 5.0}}};

TEST(Estimates, FrontierIsWhatNothingBeats) {
  EXPECT_THAT(frontier(kUnit), ElementsAre(5, 4, 2, 1, 0));
}

TEST(Estimates, PromisingIsWhatNothingClearlyBeats) {
  EXPECT_THAT(promising(kUnit, 1.0), ElementsAre(1, 2, 4, 5));
  EXPECT_THAT(promising(kUnit, 0.8), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(promising(kUnit, 1e-9), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(Estimates, NeighboursLieOnEitherSide) {
  EXPECT_THAT(neighbours(kUnit, 2, 1), ElementsAre(4, 1));
  EXPECT_THAT(neighbours(kUnit, 2, 2), ElementsAre(5, 4, 1, 0));
  EXPECT_THAT(neighbours(kUnit, 5, 2), ElementsAre(4, 2));
  EXPECT_THAT(neighbours(kUnit, 0, 2), ElementsAre(2, 1));
  // Off the frontier: what lies around its bytes.
  EXPECT_THAT(neighbours(kUnit, 3, 1), ElementsAre(2, 1));
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

// Around an allocation a unit's losses count from its choice 0, whatever the others have.
TEST(Estimates, AroundAnAllocation) {
  const Sensitivities first = {{{0, {100, 0.0}}, {1, {50, 0.2}}, {2, {25, 0.8}}, {3, {12, 3.0}}}};
  // Measured at choice 1: leaving it gains 0.3, choice 2 adds 0.9.
  const Sensitivities around = {{{0, {100, -0.3}}, {2, {25, 0.9}}}};
  const Sensitivities expected = around_allocation(first, around, {1});
  EXPECT_DOUBLE_EQ(expected[0].at(0).loss, 0.0);
  EXPECT_DOUBLE_EQ(expected[0].at(1).loss, 0.3);
  EXPECT_DOUBLE_EQ(expected[0].at(2).loss, 1.2);
  // Not measured there: 3.0 as 0.2 became 0.3.
  EXPECT_DOUBLE_EQ(expected[0].at(3).loss, 4.5);
  EXPECT_EQ(expected[0].at(3).weight, 12U);
  const Sensitivities halves =
      scaled(expected, [](std::size_t, std::size_t option) { return option == 2 ? 0.5 : 1.0; });
  EXPECT_DOUBLE_EQ(halves[0].at(2).loss, 0.6);
  EXPECT_DOUBLE_EQ(halves[0].at(3).loss, 4.5);
}

}  // namespace
}  // namespace terse
