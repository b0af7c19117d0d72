// Which rows go to which experts.
#include "terse/model/routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace terse {
namespace {

using testing::ElementsAre;
using testing::FloatNear;

std::vector<float> routed(std::vector<float> logits, std::int64_t per_token, bool normalised) {
  Experts experts;
  experts.per_token = per_token;
  experts.normalised = normalised;
  route_row(experts, logits);
  return logits;
}

TEST(Routes, AreTheSoftmaxOfTheLargestLogits) {
  // Shares 1 : 2 : 4 : 1.
  const std::vector<float> logits{0, std::log(2.0F), std::log(4.0F), 0};
  EXPECT_THAT(routed(logits, 2, false),
              ElementsAre(0, FloatNear(0.25F, 1e-6F), FloatNear(0.5F, 1e-6F), 0));
  EXPECT_THAT(routed(logits, 2, true),
              ElementsAre(0, FloatNear(1 / 3.0F, 1e-6F), FloatNear(2 / 3.0F, 1e-6F), 0));
  EXPECT_THAT(routed(logits, 1, true), ElementsAre(0, 0, 1, 0));
  EXPECT_THAT(routed(logits, 4, true), ElementsAre(FloatNear(0.125F, 1e-6F), testing::_, testing::_,
                                                   FloatNear(0.125F, 1e-6F)));
}

TEST(Routes, TakeTheFirstOfEqualLogits) {
  EXPECT_THAT(routed({3, 5, 5, 5}, 2, true), ElementsAre(0, 0.5F, 0.5F, 0));
  EXPECT_THAT(routed({1, 1, 1}, 1, true), ElementsAre(1, 0, 0));
}

TEST(Routes, StandLargeLogits) {
  EXPECT_THAT(routed({1e30F, -1e30F, 1e30F}, 2, true), ElementsAre(0.5F, 0, 0.5F));
}

// What is not a number goes on to where it is looked for.
TEST(Routes, KeepWhatIsNotANumber) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto shares = routed({nan, nan, nan}, 2, true);
  EXPECT_TRUE(std::isnan(shares[0]));
  EXPECT_TRUE(std::isnan(shares[1]));
}

TEST(Routes, StackRowsByExpert) {
  Matrix routes(3, 4);
  routes << 0, 0.5F, 0, 0.5F,  //
      0, 1, 0, 0,              //
      0.25F, 0, 0, 0.75F;
  const RoutedRows rows(routes);
  EXPECT_EQ(rows.count(), 5);
  EXPECT_EQ(rows.count(0), 1);
  EXPECT_EQ(rows.count(1), 2);
  EXPECT_EQ(rows.count(2), 0);
  EXPECT_EQ(rows.first(3), 3);
  std::vector<std::int64_t> sources;
  for (std::int64_t place = 0; place < rows.count(); ++place) sources.push_back(rows.source(place));
  EXPECT_THAT(sources, ElementsAre(2, 0, 1, 0, 2));
  EXPECT_EQ(rows.expert(4), 3);
  EXPECT_THAT(rows.places(0), ElementsAre(1, 3));
  EXPECT_THAT(rows.places(2), ElementsAre(0, 4));
  EXPECT_EQ(RoutedRows(Matrix(0, 4)).count(), 0);
}

}  // namespace
}  // namespace terse
