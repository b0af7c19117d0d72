// Choices of many within one budget.
#pragma once

#include <cstdint>
#include <vector>

namespace terse {

/// What one choice costs and what it loses.
struct Choice {
  double cost;
  double loss;
};

/// For each list of choices, by rising cost, the index of one, so that together they cost no more
/// than the budget and lose little: marginal analysis (Fox, Discrete Optimization Via Marginal
/// Analysis, Management Science 13(3), 1966). It begins with the first of every list, and of all
/// steps to a later choice of a list that still fit it takes the one that wins most for its cost.
/// No choices that cost as much or less lose less, as long as no step was passed over for want of
/// room. Ties go to the first list. Errors: bad_usage when the first choices exceed the budget.
std::vector<std::size_t> choose_within(const std::vector<std::vector<Choice>>& lists,
                                       double budget);

}  // namespace terse
