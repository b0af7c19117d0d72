// The table of the instruction set that the including file is compiled for.
#pragma once

#include "terse/kernels/attention.inc.h"
#include "terse/kernels/feedback.inc.h"
#include "terse/kernels/integers.inc.h"
#include "terse/kernels/math.inc.h"
#include "terse/kernels/peak.inc.h"
#include "terse/kernels/slots.inc.h"
#include "terse/kernels/tile.inc.h"
#include "terse/kernels/training.inc.h"

namespace terse::kernels {
namespace {

constexpr KernelTable kKernels{
    .tile_rows = kTileRows,
    .multiply_tile = {multiply_tile<float>, multiply_tile<BFloat16>, multiply_tile<Float16>},
    .to_float = {to_float<float>, to_float<BFloat16>, to_float<Float16>},
    .integer_rows = kIntegerRows,
    .multiply_stored = multiply_stored<>,
    .multiply_unpacked = multiply_unpacked,
    .unpack = unpack<>,
    .unpacked_to_float = unpacked_to_float,
    .multiply_slots = multiply_slots<>,
    .unpack_slots = unpack_slots<>,
    .quantize_row = quantize_row,
    .attend = attend,
    .quantize_with_feedback = quantize_with_feedback,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .add = add,
    .relu = activate<Relu>,
    .gelu = activate<Gelu>,
    .gelu_tanh = activate<GeluTanh>,
    .silu = activate<Silu>,
    .rotate_half = rotate_half,
    .max_value = max_value,
    .sum_of_exp = sum_of_exp,
    .softmax = softmax,
    .exp_shifted = exp_shifted,
    .rms_norm_backward = rms_norm_backward,
    .gated_silu_backward = gated_silu_backward,
    .adamw_step = adamw_step,
    .multiply_bytes = multiply_bytes,
    .multiply_floats = multiply_floats,
};

}  // namespace
}  // namespace terse::kernels
