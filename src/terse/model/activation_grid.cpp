#include "terse/model/activation_grid.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "terse/core/rounding.h"
#include "terse/core/threads.h"

namespace terse {
namespace {

// Values that are compared side by side, in the lanes of a few vector registers.
constexpr std::int64_t kLanes = 32;
// Values that one call of a parallel loop rounds, about: far more work than starting it.
constexpr std::int64_t kTileValues = 16384;

// Smallest and largest of the values and 0.
std::pair<float, float> range_of(const float* values, std::int64_t count) {
  std::array<float, kLanes> minimum{};
  std::array<float, kLanes> maximum{};
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const auto lanes = static_cast<std::size_t>(std::min(kLanes, count - i));
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      const float value = values[i + static_cast<std::int64_t>(lane)];
      minimum[lane] = std::min(minimum[lane], value);
      maximum[lane] = std::max(maximum[lane], value);
    }
  }
  return {std::ranges::min(minimum), std::ranges::max(maximum)};
}

void round_row(int bits, const ActivationGrid& grid, const float* x, std::int64_t count,
               float* out) {
  const auto half = static_cast<float>(1 << (bits - 1));
  const float scale = grid.scale;
  const float zero = grid.zero;
  for (std::int64_t i = 0; i < count; ++i) {
    // In this order of arguments NaN comes through.
    const float clamped = std::min(std::max(x[i] / scale + zero, -half), half - 1);
    out[i] = scale * (round_half_even(clamped) - zero);
  }
}

}  // namespace

ActivationGrid activation_grid(const ActivationScheme& scheme, float minimum, float maximum) {
  minimum = std::min(minimum, 0.0F);
  maximum = std::max(maximum, 0.0F);
  const auto half = static_cast<float>(1 << (scheme.bits - 1));
  const float steps = 2 * half - 1;
  const float width =
      scheme.symmetric ? std::max(maximum, -minimum) / (steps / 2) : (maximum - minimum) / steps;
  const float scale = width == 0 ? std::numeric_limits<float>::epsilon() : width;
  const float zero =
      scheme.symmetric ? 0.0F : std::min(std::max(-half - minimum / scale, -half), half - 1);
  return {scale, round_half_even(zero)};
}

Matrix round_activations(const ActivationScheme& scheme, const ActivationGrid& fixed,
                         const Matrix& x) {
  Matrix rounded(x.rows(), x.cols());
  const std::int64_t tile =
      std::max<std::int64_t>(1, kTileValues / std::max<std::int64_t>(1, x.cols()));
  parallel_tiles(x.rows(), tile, [&](std::int64_t first, std::int64_t count) {
    for (std::int64_t r = first; r < first + count; ++r) {
      const float* values = x.data() + r * x.cols();
      ActivationGrid grid = fixed;
      if (scheme.dynamic()) {
        const auto [minimum, maximum] = range_of(values, x.cols());
        grid = activation_grid(scheme, minimum, maximum);
      }
      round_row(scheme.bits, grid, values, x.cols(), rounded.data() + r * x.cols());
    }
  });
  return rounded;
}

}  // namespace terse
