// What calibration remembers of the inputs of a linear: as much as the methods of a recipe need.
#pragma once

#include <cstdint>
#include <optional>

#include "terse/core/method_registry.h"
#include "terse/core/tensor.h"
#include "terse/methods/input_shift.h"
#include "terse/methods/second_moments.h"

namespace terse {

/// Which statistics are kept. Norms come with second moments, whose diagonal they are. A shift is
/// against the inputs of the model as the pass found it.
struct StatisticsNeeds {
  bool norms = false;
  bool ranges = false;
  bool second_moments = false;
  bool means = false;
  bool shift = false;

  bool any() const { return norms || ranges || second_moments || means || shift; }
  StatisticsNeeds& operator|=(const StatisticsNeeds& other);
};

/// The statistics that a need of a method stands for; none for needs of another kind.
StatisticsNeeds statistics_of(MethodNeed need);

/// Statistics of inputs x_t of one width, over all tokens t. The bytes do not depend on the number
/// of threads; they do depend on how inputs are split into calls (SecondMoments says why).
class InputStatistics {
 public:
  InputStatistics(std::int64_t columns, const StatisticsNeeds& needs);

  /// Adds inputs [tokens, columns]. Errors: as SecondMoments::add; failed where a shift is kept.
  void add(ConstMatrixRef inputs);

  /// The same with what was read in their place before, which the shift needs. Errors: as
  /// InputShift::add too.
  void add(ConstMatrixRef inputs, ConstMatrixRef before);

  /// The statistics of A x_t, for A [r, columns]. Errors: failed without second moments.
  InputStatistics through(const Matrix& a) const;

  std::int64_t columns() const { return columns_; }
  std::int64_t tokens() const { return tokens_; }
  const StatisticsNeeds& needs() const { return needs_; }

  /// ||X_j||_2^2 = sum_t x_tj^2; needs `norms` or `second_moments`.
  double squared_norm(std::int64_t column) const;

  /// Smallest and largest value of an input over all tokens; needs `ranges`. 0 before any token.
  float minimum(std::int64_t column) const { return minimum_[column]; }
  float maximum(std::int64_t column) const { return maximum_[column]; }
  /// max_t |x_tj|.
  float largest(std::int64_t column) const;

  /// (1/n) sum_t x_tj over n tokens; needs `means`. 0 before any token.
  double mean(std::int64_t column) const;

  /// Errors: failed when they are not kept.
  const SecondMoments& moments() const;

  /// Errors: failed when it is not kept.
  const InputShift& shift() const;

 private:
  void add_all(const ConstMatrixRef& inputs);
  void add_norms(const ConstMatrixRef& inputs);
  void add_ranges(const ConstMatrixRef& inputs);
  void add_sums(const ConstMatrixRef& inputs);

  std::int64_t columns_;
  StatisticsNeeds needs_;
  std::int64_t tokens_ = 0;
  Eigen::VectorXd squared_norms_;
  Eigen::VectorXd sums_;
  Vector minimum_;
  Vector maximum_;
  std::optional<SecondMoments> moments_;
  std::optional<InputShift> shift_;
};

}  // namespace terse
