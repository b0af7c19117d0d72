// Weights that are -1, 0 or 1 times a scale.
#pragma once

#include <memory>

#include "terse/formats/quantized_matrix.h"
#include "terse/train/parametrisation.h"

namespace terse::train {

/// W = scale * clip(round(V / scale), -1, 1), with scale = mean |V| of what shares one, and V
/// ("weight", [out, in]) trained straight through (Ma et al., BitNet b1.58, arXiv 2402.17764,
/// equations 1 to 3). `scheme` is of 2 bits and symmetric; the paper's strategy is tensor. Scales
/// are rounded to scale_dtype. The inputs of the linear are rounded as the scheme says, each row on
/// a grid of its own.
///
/// With `keep_zeros` the zeros of the weight stay zero and do not count in the mean, and fold()
/// gives the smallest form. Errors: bad_usage when group_size does not divide the width; failed for
/// other schemes and for static inputs.
std::unique_ptr<Parametrisation> ternary_parametrisation(const Matrix& weight,
                                                         const QuantizationScheme& scheme,
                                                         bool keep_zeros,
                                                         const torch::Device& device);

}  // namespace terse::train
