#include "terse/methods/quantize/grid.h"

#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "terse/core/threads.h"

namespace terse {
namespace {

// Rows that are worked on side by side, one in each lane of a few vector registers.
constexpr std::int64_t kLanes = 64;
using Lanes = std::array<float, kLanes>;

// Candidates of the search for the range of least error: p = 1 - i / 100.
constexpr int kCandidates = 80;

// A transposed weight of at most kLanes rows: value c of row r is columns[c * stride + r].
struct Strip {
  const float* columns;
  std::int64_t stride;
  std::int64_t count;
  std::int64_t lanes;
};

struct Ranges {
  Lanes minimum{};
  Lanes maximum{};
};

struct Grids {
  Lanes scale{};
  Lanes zero{};
};

// |x|^2.4 = a a^(1/5) with a = x^2. z = a^(-1/5) comes from its exponent's first guess and three
// Newton steps, z (6 - a z^5) / 5, which leave a relative error near 1e-7.
float power_2_4(float x) {
  const float a = x * x;
  const auto bits = static_cast<float>(std::bit_cast<std::int32_t>(a));
  float z = std::bit_cast<float>(static_cast<std::int32_t>(1277500000.0F - 0.2F * bits));
  for (int step = 0; step < 3; ++step) z *= 1.2F - 0.2F * (a * z * z * z * z * z);
  return a * (a * z * z * z * z);
}

Ranges strip_ranges(const Strip& strip) {
  Ranges ranges;
  for (std::int64_t c = 0; c < strip.count; ++c) {
    const float* values = strip.columns + c * strip.stride;
    for (std::int64_t r = 0; r < strip.lanes; ++r) {
      const auto lane = static_cast<std::size_t>(r);
      ranges.minimum[lane] = std::min(ranges.minimum[lane], values[r]);
      ranges.maximum[lane] = std::max(ranges.maximum[lane], values[r]);
    }
  }
  return ranges;
}

Grids candidate_grids(const GridOptions& options, const Ranges& ranges, int candidate,
                      std::int64_t lanes) {
  const float share = 1.0F - static_cast<float>(candidate) / 100.0F;
  Grids grids;
  for (std::size_t r = 0; r < static_cast<std::size_t>(lanes); ++r) {
    const Grid grid = range_grid(options, share * ranges.minimum[r], share * ranges.maximum[r]);
    grids.scale[r] = grid.scale;
    grids.zero[r] = grid.zero;
  }
  return grids;
}

// sum_c |x - q(x)|^2.4 of every row.
Lanes strip_errors(const GridOptions& options, const Strip& strip, const Grids& grids) {
  const float top = options.top();
  Lanes errors{};
  for (std::int64_t c = 0; c < strip.count; ++c) {
    const float* values = strip.columns + c * strip.stride;
    for (std::int64_t r = 0; r < strip.lanes; ++r) {
      const auto lane = static_cast<std::size_t>(r);
      const float zero = grids.zero[lane];
      const float code = grid_code(values[r], grids.scale[lane], zero, top);
      errors[lane] += power_2_4(values[r] - grids.scale[lane] * (code - zero));
    }
  }
  return errors;
}

Grids least_error_grids(const GridOptions& options, const Strip& strip, const Ranges& ranges) {
  Grids best;
  Lanes least;
  least.fill(std::numeric_limits<float>::infinity());
  for (int candidate = 0; candidate < kCandidates; ++candidate) {
    const Grids grids = candidate_grids(options, ranges, candidate, strip.lanes);
    const Lanes errors = strip_errors(options, strip, grids);
    for (std::size_t r = 0; r < static_cast<std::size_t>(strip.lanes); ++r) {
      if (candidate > 0 && !(errors[r] < least[r])) continue;
      least[r] = errors[r];
      best.scale[r] = grids.scale[r];
      best.zero[r] = grids.zero[r];
    }
  }
  return best;
}

Grids strip_grids(const GridOptions& options, const Strip& strip) {
  const Ranges ranges = strip_ranges(strip);
  return options.clip == Clip::mse ? least_error_grids(options, strip, ranges)
                                   : candidate_grids(options, ranges, 0, strip.lanes);
}

// Columns [begin, begin + count) of rows [row, row + lanes) of `weight`, transposed.
class TransposedRows {
 public:
  TransposedRows(const Matrix& weight, std::int64_t row, std::int64_t begin, std::int64_t count)
      : lanes_(std::min(kLanes, weight.rows() - row)),
        count_(count),
        values_(static_cast<std::size_t>(count * lanes_)) {
    for (std::int64_t r = 0; r < lanes_; ++r) {
      const float* source = weight.data() + (row + r) * weight.cols() + begin;
      for (std::int64_t c = 0; c < count; ++c) {
        values_[static_cast<std::size_t>(c * lanes_ + r)] = source[c];
      }
    }
  }

  Strip strip() const { return {values_.data(), lanes_, count_, lanes_}; }

 private:
  std::int64_t lanes_;
  std::int64_t count_;
  std::vector<float> values_;
};

std::int64_t strip_count(const Matrix& weight) {
  return (weight.rows() + kLanes - 1) / kLanes;
}

void fit_row_grids(const GridOptions& options, const Matrix& weight, QuantizedMatrix& result) {
  const std::int64_t groups = result.scales.cols();
  const std::int64_t size = weight.cols() / groups;
  parallel_for(strip_count(weight), [&](std::int64_t index) {
    for (std::int64_t g = 0; g < groups; ++g) {
      const TransposedRows rows(weight, index * kLanes, g * size, size);
      const Grids grids = strip_grids(options, rows.strip());
      for (std::int64_t r = 0; r < rows.strip().lanes; ++r) {
        const std::int64_t at = (index * kLanes + r) * groups + g;
        result.scales.data()[at] = grids.scale[static_cast<std::size_t>(r)];
        result.zeros[static_cast<std::size_t>(at)] =
            static_cast<std::uint8_t>(grids.zero[static_cast<std::size_t>(r)]);
      }
    }
  });
}

// Sum over the whole weight of the errors of every candidate, in a fixed order.
std::array<double, kCandidates> whole_errors(const GridOptions& options, const Matrix& weight,
                                             const std::array<Grid, kCandidates>& candidates) {
  std::vector<std::array<double, kCandidates>> parts(static_cast<std::size_t>(strip_count(weight)));
  parallel_for(strip_count(weight), [&](std::int64_t index) {
    const TransposedRows rows(weight, index * kLanes, 0, weight.cols());
    for (std::size_t candidate = 0; candidate < kCandidates; ++candidate) {
      Grids grids;
      grids.scale.fill(candidates[candidate].scale);
      grids.zero.fill(candidates[candidate].zero);
      double sum = 0.0;
      for (const float error : strip_errors(options, rows.strip(), grids)) sum += error;
      parts[static_cast<std::size_t>(index)][candidate] = sum;
    }
  });
  std::array<double, kCandidates> errors{};
  for (const auto& part : parts) {
    for (std::size_t candidate = 0; candidate < kCandidates; ++candidate) {
      errors[candidate] += part[candidate];
    }
  }
  return errors;
}

Grid whole_grid(const GridOptions& options, const Matrix& weight) {
  const float minimum = weight.minCoeff();
  const float maximum = weight.maxCoeff();
  if (options.clip == Clip::minmax) return range_grid(options, minimum, maximum);
  std::array<Grid, kCandidates> candidates;
  for (std::size_t i = 0; i < kCandidates; ++i) {
    const float share = 1.0F - static_cast<float>(i) / 100.0F;
    candidates[i] = range_grid(options, share * minimum, share * maximum);
  }
  const std::array<double, kCandidates> errors = whole_errors(options, weight, candidates);
  return candidates[static_cast<std::size_t>(std::ranges::min_element(errors) - errors.begin())];
}

// The smallest and largest scale that a type holds. Float32 and bfloat16 stop at the smallest
// normal number, as denormals are flushed; those of float16 are normal in float32.
std::pair<float, float> scale_limits(DType dtype) {
  if (dtype == DType::f16) return {0x1p-24F, 65504.0F};
  if (dtype == DType::bf16) return {0x1p-126F, 0x1.fep127F};
  return {std::numeric_limits<float>::min(), std::numeric_limits<float>::max()};
}

}  // namespace

float round_scale(DType dtype, float scale) {
  const auto [smallest, largest] = scale_limits(dtype);
  return std::min(std::max(round_to_dtype(dtype, scale), smallest), largest);
}

Grid range_grid(const GridOptions& options, float minimum, float maximum) {
  minimum = std::min(minimum, 0.0F);
  maximum = std::max(maximum, 0.0F);
  if (options.symmetric) {
    maximum = std::max(maximum, -minimum);
    minimum = -maximum;
  }
  if (minimum == 0.0F && maximum == 0.0F) {
    minimum = -1.0F;
    maximum = 1.0F;
  }
  const float scale = round_scale(options.scale_dtype, (maximum - minimum) / options.top());
  const float zero = options.symmetric ? static_cast<float>(1 << (options.bits - 1))
                                       : round_half_even(std::min(-minimum / scale, options.top()));
  return {scale, zero};
}

void fit_grids(const GridOptions& options, const float* columns, std::int64_t stride,
               std::int64_t count, std::int64_t lanes, float* scales, float* zeros) {
  for (std::int64_t first = 0; first < lanes; first += kLanes) {
    const Strip strip{columns + first, stride, count, std::min(kLanes, lanes - first)};
    const Grids grids = strip_grids(options, strip);
    std::copy_n(grids.scale.begin(), strip.lanes, scales + first);
    std::copy_n(grids.zero.begin(), strip.lanes, zeros + first);
  }
}

void fit_weight_grids(const GridOptions& options, const Matrix& weight, QuantizedMatrix& result) {
  if (result.scheme.strategy != QuantizationStrategy::tensor) {
    fit_row_grids(options, weight, result);
    return;
  }
  const Grid grid = whole_grid(options, weight);
  result.scales(0, 0) = grid.scale;
  result.zeros[0] = static_cast<std::uint8_t>(grid.zero);
}

}  // namespace terse
