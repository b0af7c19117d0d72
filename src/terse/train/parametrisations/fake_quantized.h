// Quantisation-aware training: a trained weight seen through the grid that it will be stored on.
#pragma once

#include <memory>

#include "terse/formats/quantized_matrix.h"
#include "terse/methods/quantize/grid.h"
#include "terse/train/parametrisation.h"

namespace terse::train {

/// W = step * (clip(round(V / step) + zero, 0, 2^bits - 1) - zero), with V ("weight", [out, in])
/// and the steps ("weight_step", [out, groups], [1, 1] per tensor) trained: learned step sizes
/// (Esser et al., LSQ, arXiv 1902.08153). Steps are rounded to the scheme's scale_dtype wherever
/// they are used: what fold() stores is what was trained. The inputs of the linear are rounded as
/// the scheme says, a static grid with a learned step too ("input_step", [1, 1]).
///
/// Zero points stay as they begin. LSQ+ (Bhalgat et al., arXiv 2004.09576) trains a real offset;
/// one that is stored as an integer only says which values are clipped, which steps and V say too.
/// Measured at 2 bits per channel, training it changed nothing at rates at which it hardly moved,
/// and cost 0.01 to 0.02 nats where it did.
///
/// With `keep_zeros` the zeros of the weight stay zero, and fold() gives the smallest form.
/// Begins as round-to-nearest of `weight` does. Errors: bad_usage when group_size does not divide
/// the width; failed for static inputs, whose grid is not known.
std::unique_ptr<Parametrisation> fake_quantized_parametrisation(const Matrix& weight,
                                                                const QuantizationScheme& scheme,
                                                                Clip clip, bool keep_zeros,
                                                                const torch::Device& device);

/// The same, beginning at the codes, scales and zero points of integers, V anywhere in the reach of
/// each code: at what the codes stand for, half a step from all others, it would learn worse.
/// Errors: bad_input when g_idx has groups of other sizes than group_size, or a scale is not above
/// 0.
std::unique_ptr<Parametrisation> fake_quantized_parametrisation(const QuantizedMatrix& integers,
                                                                bool keep_zeros,
                                                                const torch::Device& device);

}  // namespace terse::train
