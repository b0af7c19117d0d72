// Rounding of the inputs of a linear to the grid that its scheme says.
#pragma once

#include "terse/core/tensor.h"
#include "terse/formats/quantized_matrix.h"

namespace terse {

/// x ~ scale * (q - zero), q an integer from -2^(bits - 1) to 2^(bits - 1) - 1.
struct ActivationGrid {
  float scale = 1.0F;
  float zero = 0.0F;  ///< An integer of that range.
};

/// The grid of values from `minimum` to `maximum`, 0 taken into the range (compressed-tensors,
/// quantization/utils/helpers.py, calculate_qparams):
///   symmetric: scale = 2 max|x| / (2^bits - 1), zero = 0;
///   asymmetric: scale = (max - min) / (2^bits - 1), zero = round(-2^(bits - 1) - min / scale).
/// A range of 0 gets the scale 2^-23.
ActivationGrid activation_grid(const ActivationScheme& scheme, float minimum, float maximum);

/// x [tokens, columns] as scale * (q - zero) with
/// q = clamp(round(x / scale + zero), -2^(bits - 1), 2^(bits - 1) - 1), ties to even: each row on
/// its own grid when dynamic, else all on `fixed`. NaN stays NaN. Rows do not depend on each
/// other. All threads.
Matrix round_activations(const ActivationScheme& scheme, const ActivationGrid& fixed,
                         const Matrix& x);

}  // namespace terse
