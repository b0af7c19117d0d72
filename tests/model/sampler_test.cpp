// Choosing tokens: exact small distributions, and chi-squared on many draws.
#include "terse/model/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "support/expect_error.h"

namespace terse {
namespace {

constexpr int kDraws = 20000;

std::vector<float> logits_of(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p) + 3));
  return logits;
}

std::vector<int> draw_counts(const std::vector<float>& logits, SamplingOptions options,
                             const std::vector<std::int32_t>& seen = {}) {
  options.seed = 11;
  Sampler sampler(options);
  std::vector<int> counts(logits.size());
  for (int i = 0; i < kDraws; ++i) ++counts[static_cast<std::size_t>(sampler.next(logits, seen))];
  return counts;
}

// Chi-squared of the draws against weights that need not sum to 1; a token of weight 0 never comes.
void expect_distribution(const std::vector<int>& counts, const std::vector<double>& weights) {
  // Quantiles 0.9999 for 1 to 5 degrees of freedom (Abramowitz and Stegun, table 26.8).
  constexpr double kQuantiles[] = {15.137, 18.421, 21.108, 23.513, 25.745};
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  double statistic = 0;
  int possible = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] == 0) {
      EXPECT_EQ(counts[i], 0) << "token " << i;
      continue;
    }
    ++possible;
    const double expected = kDraws * weights[i] / total;
    statistic += (counts[i] - expected) * (counts[i] - expected) / expected;
  }
  ASSERT_GE(possible, 2);
  EXPECT_LT(statistic, kQuantiles[possible - 2]);
}

const std::vector<double> kSix{0.05, 0.4, 0.1, 0.25, 0.15, 0.05};

TEST(Sampler, GreedyTakesTheFirstOfTheBest) {
  Sampler sampler({});
  EXPECT_EQ(sampler.next(logits_of(kSix), {}), 1);
  EXPECT_EQ(sampler.next(std::vector<float>{1, 5, 2, 5, 5}, {}), 1);
  EXPECT_EQ(sampler.next(std::vector<float>{-3}, {}), 0);
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(sampler.next(std::vector<float>{-inf, -inf, -1e30F, -inf}, {}), 2);
}

TEST(Sampler, TemperatureOneDrawsTheDistribution) {
  expect_distribution(draw_counts(logits_of(kSix), {.temperature = 1}), kSix);
}

TEST(Sampler, TemperatureIsAPowerOfTheProbabilities) {
  for (const double temperature : {0.5, 2.0}) {
    std::vector<double> weights;
    for (const double p : kSix) weights.push_back(std::pow(p, 1 / temperature));
    expect_distribution(draw_counts(logits_of(kSix), {.temperature = temperature}), weights);
  }
}

TEST(Sampler, AVeryLowTemperatureIsGreedy) {
  const std::vector<int> counts = draw_counts(logits_of(kSix), {.temperature = 1e-300});
  EXPECT_EQ(counts[1], kDraws);
}

TEST(Sampler, TopKKeepsTheKMostProbable) {
  expect_distribution(draw_counts(logits_of(kSix), {.temperature = 1, .top_k = 3}),
                      {0, 0.4, 0, 0.25, 0.15, 0});
  // Of equally probable tokens the one with the lower id is kept; more than all changes nothing.
  expect_distribution(draw_counts(logits_of(kSix), {.temperature = 1, .top_k = 5}),
                      {0.05, 0.4, 0.1, 0.25, 0.15, 0});
  expect_distribution(draw_counts(logits_of(kSix), {.temperature = 1, .top_k = 100}), kSix);
  EXPECT_EQ(draw_counts(logits_of(kSix), {.temperature = 1, .top_k = 1})[1], kDraws);
}

TEST(Sampler, TopPKeepsTheSmallestSetThatReachesIt) {
  // 0.4 + 0.25 = 0.65 and + 0.15 = 0.8.
  expect_distribution(draw_counts(logits_of(kSix), {.temperature = 1, .top_p = 0.7}),
                      {0, 0.4, 0, 0.25, 0.15, 0});
  expect_distribution(draw_counts(logits_of(kSix), {.temperature = 1, .top_p = 0.6}),
                      {0, 0.4, 0, 0.25, 0, 0});
  EXPECT_EQ(draw_counts(logits_of(kSix), {.temperature = 1, .top_p = 0.01})[1], kDraws);
  expect_distribution(draw_counts(logits_of(kSix), {.temperature = 1, .top_p = 1}), kSix);
}

TEST(Sampler, MinPIsAShareOfTheBest) {
  // 0.3 of 0.4 is 0.12.
  expect_distribution(draw_counts(logits_of(kSix), {.temperature = 1, .min_p = 0.3}),
                      {0, 0.4, 0, 0.25, 0.15, 0});
  EXPECT_EQ(draw_counts(logits_of(kSix), {.temperature = 1, .min_p = 1})[1], kDraws);
}

TEST(Sampler, FiltersFollowEachOther) {
  // Of the best three (0.5, 0.3125, 0.1875 of them) top-p 0.8 needs two.
  expect_distribution(draw_counts(logits_of(kSix), {.temperature = 1, .top_k = 3, .top_p = 0.8}),
                      {0, 0.4, 0, 0.25, 0, 0});
}

TEST(Sampler, ThePenaltyDividesWhatIsPositiveAndMultipliesWhatIsNot) {
  const std::vector<float> logits{2, 1.5F, -1, -0.5F};
  const std::vector<std::int32_t> seen{0, 2, 0, 0};  // once is enough
  std::vector<double> weights;
  for (const double logit : {2 / 1.6, 1.5, -1 * 1.6, -0.5}) weights.push_back(std::exp(logit));
  expect_distribution(draw_counts(logits, {.temperature = 1, .repetition_penalty = 1.6}, seen),
                      weights);
  Sampler greedy({.repetition_penalty = 1.6});
  EXPECT_EQ(greedy.next(logits, seen), 1);
  EXPECT_EQ(greedy.next(logits, {}), 0);
}

TEST(Sampler, TheSeedDecidesTheDraws) {
  const std::vector<float> logits = logits_of(kSix);
  const auto draws = [&](std::uint64_t seed) {
    Sampler sampler({.temperature = 1, .seed = seed});
    std::vector<std::int32_t> ids;
    for (int i = 0; i < 50; ++i) ids.push_back(sampler.next(logits, {}));
    return ids;
  };
  EXPECT_EQ(draws(5), draws(5));
  EXPECT_NE(draws(5), draws(6));
  EXPECT_EQ(draws(~0ULL), draws(~0ULL));
}

TEST(Sampler, RefusesNaNAndOptionsOutOfRange) {
  test::expect_error(ErrorKind::failed, "NaN", [] {
    Sampler({}).next(std::vector<float>{1, std::numeric_limits<float>::quiet_NaN()}, {});
  });
  const auto refused = [](const SamplingOptions& options, const std::string& part) {
    test::expect_error(ErrorKind::usage, part, [&] { options.validate(); });
  };
  refused({.temperature = -0.1}, "temperature is -0.1");
  refused({.temperature = NAN}, "temperature");
  refused({.temperature = INFINITY}, "temperature");
  refused({.top_k = -1}, "top-k is -1");
  refused({.top_p = 0}, "top-p is 0");
  refused({.top_p = 1.5}, "top-p is 1.5");
  refused({.top_p = NAN}, "top-p");
  refused({.min_p = -0.5}, "min-p is -0.5");
  refused({.min_p = 1.5}, "min-p is 1.5");
  refused({.repetition_penalty = 0}, "repetition penalty is 0");
  refused({.repetition_penalty = INFINITY}, "repetition penalty");
  SamplingOptions{.temperature = 2, .top_k = 4, .top_p = 1, .min_p = 1}.validate();
}

}  // namespace
}  // namespace terse
