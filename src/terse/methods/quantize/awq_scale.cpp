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

// The smallest scale before it is normalised, as in the published code, and the smallest range.
constexpr double kSmallestScale = 1e-4;
constexpr float kSmallestRange = 1e-6F;

// Means over the inputs of each channel.
std::vector<double> channel_means(const std::vector<double>& by_input,
                                  const std::vector<std::int64_t>& channel_of_input,
                                  std::int64_t channels) {
  std::vector<double> means(static_cast<std::size_t>(channels));
  std::vector<double> counts(static_cast<std::size_t>(channels));
  for (std::size_t c = 0; c < by_input.size(); ++c) {
    const auto channel = static_cast<std::size_t>(channel_of_input[c]);
    means[channel] += by_input[c];
    counts[channel] += 1;
  }
  for (std::size_t i = 0; i < means.size(); ++i) means[i] /= counts[i];
  return means;
}

std::vector<double> mean_squares(const InputStatistics& inputs) {
  const auto tokens = static_cast<double>(std::max<std::int64_t>(1, inputs.tokens()));
  std::vector<double> means(static_cast<std::size_t>(inputs.columns()));
  for (std::int64_t c = 0; c < inputs.columns(); ++c) {
    means[static_cast<std::size_t>(c)] = inputs.squared_norm(c) / tokens;
  }
  return means;
}

// |w| as a share of the largest of its group, mean over the rows of all weights.
std::vector<double> weight_shares(const std::vector<Matrix>& weights, std::int64_t group_size) {
  Eigen::VectorXd sums = Eigen::VectorXd::Zero(weights.front().cols());
  double rows = 0;
  for (const Matrix& weight : weights) {
    for (std::int64_t first = 0; first < weight.cols(); first += group_size) {
      const Matrix sizes = weight.middleCols(first, group_size).cwiseAbs();
      const Vector largest = sizes.rowwise().maxCoeff().cwiseMax(kSmallestRange);
      const Matrix shares = largest.cwiseInverse().asDiagonal() * sizes;
      sums.segment(first, group_size) += shares.cast<double>().colwise().sum().transpose();
    }
    rows += static_cast<double>(weight.rows());
  }
  sums /= rows;
  return {sums.begin(), sums.end()};
}

// Sizes of the channels of a stage.
struct Channels {
  std::vector<double> activations;
  std::vector<double> weights;  // empty without duo_scaling
};

Channels measure(const AwqSearch& search, const std::vector<Matrix>& weights,
                 const InputStatistics& inputs, const std::vector<std::int64_t>& channel_of_input,
                 std::int64_t channels) {
  Channels sizes{channel_means(mean_squares(inputs), channel_of_input, channels), {}};
  for (double& size : sizes.activations) size = std::sqrt(size);
  if (!search.duo_scaling) return sizes;
  const std::int64_t group = inputs.columns() / search.scheme.groups(inputs.columns());
  sizes.weights = channel_means(weight_shares(weights, group), channel_of_input, channels);
  return sizes;
}

double unnormalised_scale(const Channels& sizes, std::size_t channel, double ratio) {
  const double activation = std::pow(sizes.activations[channel], ratio);
  if (sizes.weights.empty()) return std::max(activation, kSmallestScale);
  return std::max(activation / (std::pow(sizes.weights[channel], 1 - ratio) + kSmallestScale),
                  kSmallestScale);
}

// Scales around 1: the largest times the smallest is 1.
Vector scales_of(const Channels& sizes, double ratio) {
  std::vector<double> scales(sizes.activations.size());
  double smallest = std::numeric_limits<double>::infinity();
  double largest = 0;
  for (std::size_t i = 0; i < scales.size(); ++i) {
    if (!(sizes.activations[i] > 0)) continue;
    scales[i] = unnormalised_scale(sizes, i, ratio);
    smallest = std::min(smallest, scales[i]);
    largest = std::max(largest, scales[i]);
  }
  Vector normalised(static_cast<std::int64_t>(scales.size()));
  for (std::size_t i = 0; i < scales.size(); ++i) {
    const double scale = scales[i] > 0 ? scales[i] / std::sqrt(smallest * largest) : 1.0;
    normalised[static_cast<std::int64_t>(i)] = static_cast<float>(scale);
  }
  return normalised;
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

// `count` of `picked` rows spread evenly over a weight, from `first` on.
Matrix spread_rows(const Matrix& weight, std::int64_t picked, std::int64_t first,
                   std::int64_t count) {
  Matrix rows(count, weight.cols());
  for (std::int64_t r = 0; r < count; ++r) {
    rows.row(r) = weight.row((first + r) * weight.rows() / picked);
  }
  return rows;
}

double lost_output(const AwqSearch& search, const Matrix& weight, const Vector& columns,
                   const SecondMoments& moments) {
  QuantizedMatrix whole;
  if (search.scheme.strategy == QuantizationStrategy::tensor) {
    whole = empty_result(search.scheme, weight.rows(), weight.cols());
    fit_weight_grids(search.grid, weight * columns.asDiagonal(), whole);
  }
  const std::int64_t picked = std::min(weight.rows(), kAwqSearchRows);
  const double sum = parallel_sum(picked, kRows, [&](std::int64_t first, std::int64_t count) {
    const Matrix rows = spread_rows(weight, picked, first, count);
    Matrix error = rounded(search, rows * columns.asDiagonal(), whole);
    error = (error.array().rowwise() / columns.transpose().array()).matrix() - rows;
    return squared_outputs(error, moments).sum();
  });
  return sum * static_cast<double>(weight.rows()) / static_cast<double>(picked);
}

double lost_output(const AwqSearch& search, const std::vector<Matrix>& weights,
                   const Vector& columns, const SecondMoments& moments) {
  double sum = 0;
  for (const Matrix& weight : weights) sum += lost_output(search, weight, columns, moments);
  return sum;
}

}  // namespace

AwqScales search_awq_scales(const AwqSearch& search, const std::vector<Matrix>& weights,
                            const InputStatistics& inputs,
                            const std::vector<std::int64_t>& channel_of_input,
                            std::int64_t channels) {
  const SecondMoments& moments = inputs.moments();
  const Channels sizes = measure(search, weights, inputs, channel_of_input, channels);
  AwqScales best;
  best.unscaled = lost_output(search, weights, Vector::Ones(inputs.columns()), moments);
  best.error = best.unscaled;
  // Without duo_scaling the ratio 0 is no scales.
  for (std::int64_t step = search.duo_scaling ? 0 : 1; step < search.n_grid; ++step) {
    const double ratio = static_cast<double>(step) / static_cast<double>(search.n_grid);
    const Vector scales = scales_of(sizes, ratio);
    const double error = lost_output(search, weights, by_input(scales, channel_of_input), moments);
    if (error < best.error) best = {scales, ratio, error, best.unscaled};
  }
  return best;
}

}  // namespace terse
