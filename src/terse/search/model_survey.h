// A whole model surveyed, as finely as there is time for.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "terse/search/survey.h"

namespace terse {

/// The units that a model of `blocks` blocks is cut into: each linear one of its own or, where that
/// would take more than its share of a time limit (survey_plan.h; 0: none), consecutive ones of a
/// role together. What was decided is kept in `measurements`. Errors: bad_usage when there is not
/// time enough for anything.
ChoiceTable cut_into_units(Laboratory& laboratory, const std::set<std::string>& kinds,
                           double time_limit, Measurements& measurements);

/// What every choice of every unit takes of a resource, and loses: measured in the middle of the
/// model, and everywhere else where it is not clearly beaten there. What there was no time for is
/// taken to be as in the middle; whether that was so is `hurried`.
Sensitivities survey_model(Survey& survey, const Laboratory& laboratory, const ChoiceTable& table,
                           Resource resource, bool& hurried);

}  // namespace terse
