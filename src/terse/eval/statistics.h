// Means with their uncertainty.
#pragma once

#include <vector>

namespace terse {

/// A mean and its standard error.
struct Estimate {
  double mean = 0;
  double standard_error = 0;
};

/// Mean of all observations, given as sums and counts by block (a window). The standard error takes
/// blocks as the independent unit: tokens of one window depend on each other.
Estimate blocked_mean(const std::vector<double>& sums, const std::vector<double>& counts);

/// What repeated measurements of one thing gave.
struct Spread {
  double median = 0;
  double least = 0;
  double most = 0;
};

/// `values` must not be empty.
Spread spread_of(std::vector<double> values);

/// The value below which a share `quantile` (0 to 1) of the observations lies, interpolated between
/// the two nearest. Reorders `values`, which must not be empty.
double quantile_of(std::vector<float>& values, double quantile);

}  // namespace terse
