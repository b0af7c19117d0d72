// Uniform grids for weights: which scale and zero point, and which code a value gets.
#pragma once

#include <algorithm>
#include <cstdint>

#include "terse/core/rounding.h"
#include "terse/core/tensor.h"
#include "terse/formats/quantized_matrix.h"

namespace terse {

/// How the range of a grid is chosen: the smallest and largest value, or that range shrunk to
/// p in {1, 0.99, …, 0.21} of itself where sum |x - q(x)|^2.4 is smallest (the published GPTQ
/// quantiser's search: IST-DASLab/gptq, quant.py, `mse`).
enum class Clip { minmax, mse };

/// Values that share a scale get the scale and zero of one grid
///   asymmetric: scale = (max - min) / (2^bits - 1), zero = round(-min / scale), 0 in the range;
///   symmetric: scale = 2 max|x| / (2^bits - 1), zero = 2^(bits - 1),
/// where values that are all zero count as the range [-1, 1]. The scale is rounded to
/// `scale_dtype` before anything else uses it; one that rounds to nothing or to infinity becomes
/// the smallest or largest of the type.
struct GridOptions {
  int bits = 4;
  bool symmetric = false;
  Clip clip = Clip::minmax;
  DType scale_dtype = DType::f32;

  float top() const { return static_cast<float>((1 << bits) - 1); }
};

/// q(x) = scale * (code - zero), code in [0, 2^bits - 1].
struct Grid {
  float scale = 1.0F;
  float zero = 0.0F;  ///< An integer in [0, 2^bits - 1].
};

/// The code of the grid point nearest to x: clamp(round(x / scale) + zero, 0, top). Clamping
/// before rounding gives the same, as the bounds are integers, and keeps rounding in range.
inline float grid_code(float x, float scale, float zero, float top) {
  // Bounds come first, so that what is not a number becomes the lower one.
  return round_half_even(std::min(top - zero, std::max(-zero, x / scale))) + zero;
}

/// A scale as `dtype` stores it; never zero, denormal in float32, or infinite.
float round_scale(DType dtype, float scale);

/// The min-max grid of a range; 0 is taken into it.
Grid range_grid(const GridOptions& options, float minimum, float maximum);

/// Fits `lanes` grids at once, one for each row of a transposed weight: value c of row r is
/// columns[c * stride + r], c < count.
void fit_grids(const GridOptions& options, const float* columns, std::int64_t stride,
               std::int64_t count, std::int64_t lanes, float* scales, float* zeros);

/// Fits the grids that a scheme asks for to a whole weight: sets scales and zeros of `result`,
/// whose scheme, rows and columns are set. Groups lie in the stored order. All threads.
void fit_weight_grids(const GridOptions& options, const Matrix& weight, QuantizedMatrix& result);

}  // namespace terse
