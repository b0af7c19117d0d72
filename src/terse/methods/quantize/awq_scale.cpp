#include "terse/methods/quantize/awq_scale.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "terse/core/threads.h"
#include "terse/methods/output_error.h"
#include "terse/methods/quantize/nearest.h"
#include "terse/methods/quantize/scheme_options.h"

namespace terse {
namespace {

// Rows that one thread rounds and multiplies at a time.
constexpr std::int64_t kRows = 128;

// The smallest power of an activation, as in the published code.
constexpr double kSmallest = 1e-4;

// Root mean square of the inputs of each channel.
std::vector<double> activation_sizes(const InputStatistics& inputs,
                                     const std::vector<std::int64_t>& channel_of_input,
                                     std::int64_t channels) {
  std::vector<double> squares(static_cast<std::size_t>(channels));
  std::vector<double> counts(static_cast<std::size_t>(channels));
  for (std::int64_t c = 0; c < inputs.columns(); ++c) {
    const auto channel = static_cast<std::size_t>(channel_of_input[static_cast<std::size_t>(c)]);
    squares[channel] += inputs.squared_norm(c);
    counts[channel] += static_cast<double>(std::max<std::int64_t>(1, inputs.tokens()));
  }
  for (std::size_t i = 0; i < squares.size(); ++i) squares[i] = std::sqrt(squares[i] / counts[i]);
  return squares;
}

// Scales around 1: the largest times the smallest is 1.
Vector scales_of(const std::vector<double>& sizes, double ratio) {
  std::vector<double> powers(sizes.size());
  double smallest = std::numeric_limits<double>::infinity();
  double largest = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (!(sizes[i] > 0)) continue;
    powers[i] = std::max(std::pow(sizes[i], ratio), kSmallest);
    smallest = std::min(smallest, powers[i]);
    largest = std::max(largest, powers[i]);
  }
  Vector scales(static_cast<std::int64_t>(sizes.size()));
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const double scale = powers[i] > 0 ? powers[i] / std::sqrt(smallest * largest) : 1.0;
    scales[static_cast<std::int64_t>(i)] = static_cast<float>(scale);
  }
  return scales;
}

Vector by_input(const Vector& scales, const std::vector<std::int64_t>& channel_of_input) {
  Vector columns(static_cast<std::int64_t>(channel_of_input.size()));
  for (std::int64_t c = 0; c < columns.size(); ++c) {
    columns[c] = scales[channel_of_input[static_cast<std::size_t>(c)]];
  }
  return columns;
}

// Rows of a weight rounded, with grids of their own or the one of the whole weight.
Matrix rounded(const AwqSearch& search, const Matrix& rows, const QuantizedMatrix& whole) {
  if (search.scheme.strategy != QuantizationStrategy::tensor) {
    return round_to_nearest(search.scheme, search.grid, rows).dense();
  }
  QuantizedMatrix result = empty_result(search.scheme, rows.rows(), rows.cols());
  result.scales = whole.scales;
  result.zeros = whole.zeros;
  round_to_grids(rows, result);
  return result.dense();
}

double lost_output(const AwqSearch& search, const Matrix& weight, const Vector& columns,
                   const SecondMoments& moments) {
  QuantizedMatrix whole;
  if (search.scheme.strategy == QuantizationStrategy::tensor) {
    whole = empty_result(search.scheme, weight.rows(), weight.cols());
    fit_weight_grids(search.grid, weight * columns.asDiagonal(), whole);
  }
  const std::int64_t tiles = (weight.rows() + kRows - 1) / kRows;
  std::vector<double> lost(static_cast<std::size_t>(tiles));
  parallel_for(tiles, [&](std::int64_t index) {
    const std::int64_t first = index * kRows;
    const auto rows = weight.middleRows(first, std::min(kRows, weight.rows() - first));
    Matrix error = rounded(search, rows * columns.asDiagonal(), whole);
    error = (error.array().rowwise() / columns.transpose().array()).matrix() - rows;
    lost[static_cast<std::size_t>(index)] = squared_outputs(error, moments).sum();
  });
  double sum = 0;
  for (const double part : lost) sum += part;
  return sum;
}

}  // namespace

AwqScales search_awq_scales(const AwqSearch& search, const std::vector<Matrix>& weights,
                            const InputStatistics& inputs,
                            const std::vector<std::int64_t>& channel_of_input,
                            std::int64_t channels) {
  const std::vector<double> sizes = activation_sizes(inputs, channel_of_input, channels);
  AwqScales best;
  for (std::int64_t step = 0; step < search.n_grid; ++step) {
    const double ratio = static_cast<double>(step) / static_cast<double>(search.n_grid);
    const Vector scales = scales_of(sizes, ratio);
    const Vector columns = by_input(scales, channel_of_input);
    double error = 0;
    for (const Matrix& weight : weights) {
      error += lost_output(search, weight, columns, inputs.moments());
    }
    if (step == 0) best = {{}, 0.0, error, error};
    if (error < best.error) best = {scales, ratio, error, best.unscaled};
  }
  return best;
}

}  // namespace terse
