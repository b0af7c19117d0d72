// Rounding to the nearest points of grids.
#pragma once

#include <memory>

#include "terse/core/tensor.h"
#include "terse/formats/quantized_matrix.h"
#include "terse/methods/method.h"
#include "terse/methods/quantize/grid.h"

namespace terse {

/// Gives every weight [rows, columns] the code of the nearest point of its grid: scales and zeros
/// of `result` are set, groups lie in the stored order. All threads.
void round_to_grids(const Matrix& weight, QuantizedMatrix& result);

/// Fits grids, then rounds to them.
QuantizedMatrix round_to_nearest(const QuantizationScheme& scheme, const GridOptions& grid,
                                 const Matrix& weight);

/// Round-to-nearest as a method of its own, with the grids that `options` ask for
/// (with_scheme_options): what other methods begin with.
std::unique_ptr<LinearMethod> make_round_to_nearest(const MethodOptions& options,
                                                    const MethodContext& context);

}  // namespace terse
