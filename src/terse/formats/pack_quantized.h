// The `pack-quantized` layout of compressed-tensors
// (https://github.com/vllm-project/compressed-tensors, compressors/pack_quantized).
#pragma once

#include <string>
#include <vector>

#include "terse/core/tensor.h"
#include "terse/formats/quantized_matrix.h"
#include "terse/formats/quantized_tensors.h"

namespace terse {

/// The tensors of the weight of `module_name` ("model.layers.0.mlp.up_proj"), with
/// words(n) = ceil(n * bits / 32):
///   .weight_packed      int32 [rows, words(columns)]: each row packed densely
///   .weight_scale       scale_dtype [rows, groups], [rows, 1] per channel, [1] per tensor
///   .weight_zero_point  asymmetric only: int32 [words(rows), groups], packed along the rows;
///                       per tensor int8 [1], the zero point less 2^(bits - 1)
///   .weight_g_idx       int32 [columns], only with actorder group
///   .weight_shape       int64 [2]: rows, columns
///   .input_scale        float32 [1], only with static inputs
///   .input_zero_point   int8 [1], only with static asymmetric inputs
/// Bits per weight: bits + (scale and zero bits) / group_size.
/// Errors: failed when the parts of `matrix` contradict its scheme.
std::vector<NamedTensor> pack_quantized(const std::string& module_name,
                                        const QuantizedMatrix& matrix);

/// Reads what pack_quantized writes, and what the reference wrote before June 2026, when an
/// element did not straddle words (3 bits: 10 to a word). The shapes tell the two apart; where
/// both fit, it is dense. `weight_shape` may be int32 too; a g_idx of -1 throughout means columns
/// in order. The result's scale_dtype is that of the stored scale. Errors: bad_input, naming the
/// tensor: missing, wrong type or shape, g_idx out of range, a scale that is not finite.
QuantizedMatrix unpack_quantized(const std::string& module_name, const QuantizationScheme& scheme,
                                 const TensorLookup& lookup);

/// The same, with the codes left where the tensors have them.
QuantizedMatrix open_quantized(const std::string& module_name, const QuantizationScheme& scheme,
                               const TensorLookup& lookup);

}  // namespace terse
