#include "terse/search/survey_plan.h"

#include <algorithm>
#include <cmath>

#include "terse/core/error.h"

namespace terse {

std::int64_t affordable_parts(std::int64_t blocks, std::int64_t choices, const SurveyCost& cost,
                              double time_limit) {
  if (cost.choice <= 0) return blocks;
  const double part = cost.choice * static_cast<double>(choices);
  const double parts = (kSurveyShare * time_limit - cost.walk) / part;
  if (parts >= 1) return std::min(blocks, static_cast<std::int64_t>(parts));
  throw bad_usage(
      "--time-limit: {:.0f} s are too few to measure anything: {} choices of a model of this size "
      "take {:.0f} s here; give {:.0f} s or more, fewer --kinds or --survey-samples",
      time_limit, choices, cost.walk + part, std::ceil((cost.walk + part) / kSurveyShare));
}

}  // namespace terse
