// Goals: what meets them, what is preferred, what candidates teach.
#include "terse/search/goal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace terse::test {
namespace {

using testing::ElementsAre;

Candidate candidate(std::uint64_t bytes, double kl) {
  Candidate made;
  made.sizes = {bytes, 2 * bytes};
  made.kl.mean = kl;
  return made;
}

// 800 parameters in 1600 bytes, of which no choice changes 100.
const DenseModel kSize{800, {1600, 3200}, 0.5};
const Sensitivities kOne = {{{0, {1500, 0.0}}, {1, {700, 0.1}}, {2, {300, 0.9}}},
                            {{0, {100, 0.0}}}};

TEST(Goals, WithinASize) {
  const Goal goal({.bits_per_weight = 8.0}, kSize);
  EXPECT_TRUE(goal.met_by(candidate(800, 5)));
  EXPECT_FALSE(goal.met_by_dense());
  EXPECT_TRUE(Goal({.bytes = 1600}, kSize).met_by_dense());
  EXPECT_FALSE(Goal({.max_kl = 9}, kSize).met_by_dense());
  EXPECT_FALSE(goal.met_by(candidate(801, 0)));
  EXPECT_TRUE(goal.prefers(candidate(800, 5), candidate(801, 0)));
  EXPECT_TRUE(goal.prefers(candidate(800, 0.1), candidate(700, 0.2)));
  EXPECT_TRUE(goal.better({{}, 700, 0.1}, {{}, 300, 0.2}));
  EXPECT_FALSE(goal.better({{}, 300, 0.2}, {{}, 700, 0.1}));
  // Both too large: the smaller one.
  EXPECT_TRUE(goal.prefers(candidate(810, 0.2), candidate(900, 0.1)));
  EXPECT_THAT(goal.allocate(kOne)->options, ElementsAre(1, 0));
  GoalCorrection correction;
  EXPECT_FALSE(goal.correct(candidate(800, 1), kOne, correction));
  EXPECT_TRUE(goal.correct(candidate(803, 1), kOne, correction));
  EXPECT_EQ(correction.over, 3U);
  EXPECT_THAT(goal.allocate(kOne, correction)->options, ElementsAre(2, 0));
  const Goal small({.bytes = 399}, kSize);
  EXPECT_FALSE(small.allocate(kOne).has_value());
  EXPECT_STREQ(small.unreachable(kOne).what(),
               "the model cannot be made as small as 3.990 bits per weight (399 bytes) by these "
               "choices; the smallest is 4.000 bits per weight (400 bytes)");
  const Goal none({.bytes = 99}, kSize);
  EXPECT_FALSE(none.allocate(kOne).has_value());
}

TEST(Goals, WithinADivergence) {
  const Goal goal({.max_kl = 0.5}, kSize);
  EXPECT_TRUE(goal.prefers(candidate(900, 0.5), candidate(300, 0.6)));
  EXPECT_TRUE(goal.prefers(candidate(300, 0.5), candidate(900, 0.1)));
  EXPECT_TRUE(goal.better({{}, 300, 0.2}, {{}, 700, 0.1}));
  // Both too far: the nearer one.
  EXPECT_TRUE(goal.prefers(candidate(900, 0.6), candidate(300, 0.7)));
  EXPECT_THAT(goal.allocate(kOne)->options, ElementsAre(1, 0));
  // Twice as far as was expected: half of it may be expected.
  GoalCorrection correction;
  EXPECT_TRUE(goal.correct(candidate(300, 1.0), kOne, correction));
  EXPECT_NEAR(correction.share, 0.495, 1e-3);
  GoalCorrection near;
  EXPECT_FALSE(goal.correct(candidate(300, 0.495), kOne, near));
  EXPECT_TRUE(goal.correct(candidate(300, 0.3), kOne, near));
  EXPECT_GT(near.share, 1.6);
}

// What a shape loses is known: the others must make up for what they lose.
TEST(Goals, ADivergenceOfWhichAPartIsFixed) {
  const Goal goal({.max_kl = 0.5}, kSize);
  const Sensitivities shaped = {kOne[0], {{0, {100, 0.3}}}};
  EXPECT_THAT(goal.allocate(shaped)->options, ElementsAre(1, 0));
  GoalCorrection correction;
  EXPECT_TRUE(goal.correct(candidate(300, 0.7), shaped, correction));
  EXPECT_NEAR(correction.share, 0.495, 1e-3);
  EXPECT_THAT(goal.allocate(shaped, correction)->options, ElementsAre(0, 0));
}

TEST(Goals, WithinMemory) {
  const Goal goal({.memory = 1400}, kSize);
  EXPECT_TRUE(goal.met_by(candidate(700, 0.1)));
  EXPECT_FALSE(goal.met_by(candidate(701, 0.1)));
  GoalCorrection correction;
  EXPECT_TRUE(goal.correct(candidate(710, 0.1), kOne, correction));
  EXPECT_EQ(correction.over, 20U);
  EXPECT_STREQ(Goal({.memory = 300}, kSize).unreachable(kOne).what(),
               "the model cannot be made as small as 300 bytes in memory by these choices; the "
               "smallest is 400 bytes in memory");
  EXPECT_TRUE(Goal({.max_kl = 1, .objective = SearchObjective::memory}, kSize)
                  .prefers(candidate(300, 0.2), candidate(700, 0.1)));
}

// Half of the dense model's time is that of half of the bytes that it holds, until a candidate
// shows how long it takes.
TEST(Goals, WithinATime) {
  const Goal goal({.token_seconds = 0.25}, kSize);
  EXPECT_EQ(goal.allocate(kOne)->bytes, 1600U);
  Candidate slow = candidate(960, 0.1);
  slow.token_seconds = 0.3;
  EXPECT_FALSE(goal.met_by(slow));
  GoalCorrection correction;
  EXPECT_TRUE(goal.correct(slow, kOne, correction));
  EXPECT_EQ(correction.over, 320U);
  EXPECT_EQ(goal.allocate(kOne, correction)->bytes, 800U);
  Candidate fast = slow;
  fast.token_seconds = 0.25;
  EXPECT_TRUE(goal.met_by(fast));
  EXPECT_TRUE(goal.prefers(fast, slow));
  EXPECT_STREQ(Goal({.token_seconds = 0.05}, kSize).unreachable(kOne).what(),
               "the model cannot be made as fast as 50 ms a token by these choices; the fastest is "
               "expected to take 62.5 ms a token");
  // Half of the time does not depend on weights: bytes go twice as far down.
  Candidate half = candidate(800, 0.1);
  half.token_seconds = 0.375;
  GoalCorrection steeper;
  EXPECT_TRUE(goal.correct(half, kOne, steeper));
  EXPECT_EQ(steeper.over, 1600U);
}

TEST(Goals, OneBoundAndItsObjective) {
  const auto check = [](const SearchGoal& goal) { goal.check(); };
  EXPECT_NO_THROW(check({.bits_per_weight = 4.0}));
  EXPECT_NO_THROW(check({.bytes = 4, .objective = SearchObjective::kl}));
  EXPECT_NO_THROW(check({.max_kl = 0.1, .objective = SearchObjective::size}));
  EXPECT_NO_THROW(check({.max_kl = 0.1, .objective = SearchObjective::time}));
  expect_error(ErrorKind::usage, "no goals", [&] { check({}); });
  expect_error(ErrorKind::usage, "several goals",
               [&] { check({.bits_per_weight = 4.0, .bytes = 4}); });
  expect_error(ErrorKind::usage, "expected --max-kl",
               [&] { check({.bits_per_weight = 4.0, .objective = SearchObjective::size}); });
  expect_error(ErrorKind::usage, "expected a --target",
               [&] { check({.max_kl = 0.1, .objective = SearchObjective::kl}); });
}

}  // namespace
}  // namespace terse::test
