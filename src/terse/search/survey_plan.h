// How finely a model is cut into units, so that measuring them ends in time.
#pragma once

#include <cstdint>

namespace terse {

/// What measuring takes, in seconds.
struct SurveyCost {
  double walk = 0;    ///< Once: calibration through the model.
  double choice = 0;  ///< Each choice of a unit; 0: not known.
};

/// So many parts of the depth make units of their own: all blocks, where `choices` choices of one
/// block's linears in each of them can be measured in `seconds`, else the most that can. Errors:
/// bad_usage when not even one part can, naming the least `time limit` of which a share
/// `share_of_limit` is enough.
std::int64_t affordable_parts(std::int64_t blocks, std::int64_t choices, const SurveyCost& cost,
                              double time_limit);

/// Of a time limit, what measuring single choices may take: the rest is for candidates.
inline constexpr double kSurveyShare = 0.4;

}  // namespace terse
