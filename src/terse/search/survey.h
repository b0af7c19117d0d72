// How much each choice loses and weighs, measured one after the other.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "terse/core/progress.h"
#include "terse/search/knapsack.h"
#include "terse/search/laboratory.h"
#include "terse/search/measurements.h"

namespace terse {

/// The choices of every unit. The first of each is to leave it as it is.
struct ChoiceTable {
  std::vector<Unit> units;
  std::vector<std::vector<Choice>> choices;

  /// The recipe of one choice for each unit.
  Recipe recipe(const std::vector<std::size_t>& options, const Recipe& settings) const;
};

/// By unit: what was measured of its choices, in place of the background's choice for it. Losses
/// are KL divergence in nats per position, less that of the background.
using Sensitivities = std::vector<std::map<std::size_t, KnapsackOption>>;

/// When to stop.
class Deadline {
 public:
  using Clock = std::chrono::steady_clock;

  /// Seconds from now; 0: never.
  explicit Deadline(double seconds);

  bool limited() const { return limited_; }
  double left() const;  ///< Seconds; without a limit, more than anything takes.
  bool passed() const { return left() <= 0; }

 private:
  bool limited_;
  Clock::time_point end_;
};

/// Measures the choices named in `asked`, by unit, where `measurements` do not hold them yet, in
/// the laboratory's background. `background` names it there: the same name, the same background.
/// What was not measured when time is up is absent.
Sensitivities survey(Laboratory& laboratory, const ChoiceTable& table,
                     const std::vector<std::vector<std::size_t>>& asked,
                     const std::string& background, Measurements& measurements,
                     const Deadline& deadline, Progress& progress);

}  // namespace terse
