// AWQ's search for the range of each grid that loses least of the output.
#pragma once

#include "terse/methods/quantize/grid.h"
#include "terse/methods/second_moments.h"

namespace terse {

/// Rounds a weight [out, in] after its values were clipped, group by group of each row, to
/// +-p max|w| for the first p of 1, 0.95, …, 0.55 (the published code's candidates) of the smallest
///     sum_t ((q - w) x_t)^2
/// over the inputs x_t of that group. `scheme` has groups or channels, not one grid for all.
QuantizedMatrix round_with_clip_search(const QuantizationScheme& scheme, const GridOptions& grid,
                                       const Matrix& weight, const SecondMoments& moments);

}  // namespace terse
