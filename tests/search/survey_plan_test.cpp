// How finely a model is cut for a time limit.
#include "terse/search/survey_plan.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace terse::test {
namespace {

// 40 % of the limit are for the survey: 2 s for the walk, 0.1 s for each choice.
const SurveyCost kCost{2.0, 0.1};

TEST(SurveyPlan, AsFineAsTimeAllows) {
  EXPECT_EQ(affordable_parts(6, 100, kCost, 1000), 6);
  EXPECT_EQ(affordable_parts(6, 100, kCost, 155), 6);
  EXPECT_EQ(affordable_parts(6, 100, kCost, 154), 5);
  EXPECT_EQ(affordable_parts(6, 100, kCost, 30.1), 1);
}

TEST(SurveyPlan, TooLittleForAnything) {
  expect_error(ErrorKind::usage, "--time-limit: 29 s are too few to measure anything",
               [] { affordable_parts(6, 100, kCost, 29); });
  expect_error(ErrorKind::usage, "give 30 s or more", [] { affordable_parts(6, 100, kCost, 0.5); });
}

}  // namespace
}  // namespace terse::test
