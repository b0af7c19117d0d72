// How much each choice loses and weighs, measured one after the other.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "terse/core/progress.h"
#include "terse/search/choice_table.h"
#include "terse/search/estimates.h"
#include "terse/search/laboratory.h"
#include "terse/search/measurements.h"

namespace terse {

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

/// Choices to measure, by unit.
using Asked = std::vector<std::vector<std::size_t>>;

/// Measures choices and keeps what it finds in `measurements`.
class Survey {
 public:
  /// All must outlive this.
  Survey(Laboratory& laboratory, const ChoiceTable& table, Resource resource,
         Measurements& measurements, const Deadline& deadline, Progress& progress)
      : laboratory_(laboratory),
        table_(table),
        resource_(resource),
        measurements_(measurements),
        deadline_(deadline),
        progress_(progress) {}

  /// What each of `asked` takes of the resource, and loses alone. What was measured before is not
  /// measured again; what was not when time is up is absent.
  Sensitivities measure(const Asked& asked);

  std::int64_t measured() const { return measured_; }  ///< By this process.
  std::int64_t known() const { return known_; }        ///< From an earlier one.

 private:
  std::string key_of(std::size_t unit, std::size_t option) const;

  Laboratory& laboratory_;
  const ChoiceTable& table_;
  Resource resource_;
  Measurements& measurements_;
  const Deadline& deadline_;
  Progress& progress_;
  std::set<std::string> mine_;  // keys that are counted
  std::int64_t measured_ = 0;
  std::int64_t known_ = 0;
};

}  // namespace terse
