#include "terse/eval/statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace terse {

Estimate blocked_mean(const std::vector<double>& sums, const std::vector<double>& counts) {
  const double total = std::accumulate(counts.begin(), counts.end(), 0.0);
  Estimate estimate;
  estimate.mean = std::accumulate(sums.begin(), sums.end(), 0.0) / total;
  const auto blocks = static_cast<double>(sums.size());
  if (sums.size() < 2) {
    estimate.standard_error = NAN;
    return estimate;
  }
  // Ratio estimator: residuals of the blocks' sums from the mean times their counts.
  double squares = 0;
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const double residual = sums[i] - estimate.mean * counts[i];
    squares += residual * residual;
  }
  estimate.standard_error = std::sqrt(squares * blocks / (blocks - 1)) / total;
  return estimate;
}

double quantile_of(std::vector<float>& values, double quantile) {
  const double at = quantile * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(below));
  const double low = values[below];
  if (below + 1 == values.size()) return low;
  const double high =
      *std::min_element(values.begin() + static_cast<std::ptrdiff_t>(below) + 1, values.end());
  return low + (high - low) * (at - static_cast<double>(below));
}

Spread spread_of(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  const double median =
      values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {median, values.front(), values.back()};
}

}  // namespace terse
