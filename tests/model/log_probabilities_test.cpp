#include "terse/model/log_probabilities.h"

#include <gtest/gtest.h>

#include <cmath>

namespace terse {
namespace {

TEST(LogProbabilities, AreALogSoftmax) {
  const std::vector<float> logits{1, 3, -2, 3, 0};
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
  const TokenLogProbabilities found = log_probabilities(logits, 4, 3);
  EXPECT_EQ(found.chosen.id, 4);
  EXPECT_NEAR(found.chosen.value, std::log(1 / sum), 1e-12);
  ASSERT_EQ(found.best.size(), 3U);
  EXPECT_EQ(found.best[0].id, 1);  // before 3, which is as probable
  EXPECT_EQ(found.best[1].id, 3);
  EXPECT_EQ(found.best[2].id, 0);
  EXPECT_NEAR(found.best[2].value, std::log(std::exp(1) / sum), 1e-12);
}

TEST(LogProbabilities, OfAllTokensAddUpToOne) {
  const std::vector<float> logits{1000, 998, -1000};
  const TokenLogProbabilities found = log_probabilities(logits, 0, 99);
  ASSERT_EQ(found.best.size(), 3U);
  double sum = 0;
  for (const TokenLogProbability& each : found.best) sum += std::exp(each.value);
  EXPECT_NEAR(sum, 1, 1e-12);
  EXPECT_EQ(log_probabilities(logits, 0, 0).best.size(), 0U);
}

}  // namespace
}  // namespace terse
