#include "terse/methods/quantize/nearest.h"

#include "terse/core/threads.h"
#include "terse/methods/quantize/scheme_options.h"

namespace terse {
namespace {

void round_row(const Matrix& weight, std::int64_t r, QuantizedMatrix& result) {
  const std::int64_t groups = result.scales.cols();
  const std::int64_t size = weight.cols() / groups;
  const std::int64_t grid_row = result.scheme.strategy == QuantizationStrategy::tensor ? 0 : r;
  const auto top = static_cast<float>(result.scheme.levels() - 1);
  for (std::int64_t g = 0; g < groups; ++g) {
    const float scale = result.scales(grid_row, g);
    const float zero = result.zeros[static_cast<std::size_t>(grid_row * groups + g)];
    const float* values = weight.data() + r * weight.cols() + g * size;
    std::uint8_t* codes = result.codes.data() + r * weight.cols() + g * size;
    for (std::int64_t c = 0; c < size; ++c) {
      codes[c] = static_cast<std::uint8_t>(grid_code(values[c], scale, zero, top));
    }
  }
}

}  // namespace

void round_to_grids(const Matrix& weight, QuantizedMatrix& result) {
  parallel_for(weight.rows(), [&](std::int64_t r) { round_row(weight, r, result); });
}

QuantizedMatrix round_to_nearest(const QuantizationScheme& scheme, const GridOptions& grid,
                                 const Matrix& weight) {
  QuantizedMatrix result = empty_result(scheme, weight.rows(), weight.cols());
  fit_weight_grids(grid, weight, result);
  round_to_grids(weight, result);
  return result;
}

}  // namespace terse
