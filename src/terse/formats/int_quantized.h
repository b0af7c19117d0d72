// The `int-quantized` layout of compressed-tensors
// (https://github.com/vllm-project/compressed-tensors, compressors/naive_quantized).
#pragma once

#include <string>
#include <vector>

#include "terse/core/tensor.h"
#include "terse/formats/quantized_matrix.h"
#include "terse/formats/quantized_tensors.h"

namespace terse {

/// The tensors of the weight of `module_name`, one byte a code, for weights whose inputs are
/// quantised too:
///   .weight             int8 [rows, columns]: the codes less 2^(bits - 1)
///   .weight_scale       scale_dtype [rows, groups], [rows, 1] per channel, [1] per tensor
///   .weight_zero_point  asymmetric only: int8 of the shape of the scales, less 2^(bits - 1)
///   .weight_g_idx       int32 [columns], only with actorder group
///   .input_scale        float32 [1], only with static inputs
///   .input_zero_point   int8 [1], only with static asymmetric inputs
/// Bits per weight: 8 + (scale and zero bits) / group_size.
/// Errors: failed when the parts of `matrix` contradict its scheme.
std::vector<NamedTensor> store_int_quantized(const std::string& module_name,
                                             const QuantizedMatrix& matrix);

/// Reads them; the inputs need not be quantised, and the codes may have fewer than 8 bits. The
/// result's scale_dtype is that of the stored scale. Errors: bad_input, naming the tensor: missing,
/// wrong type or shape, a code outside the bits, g_idx out of range, a scale that is not finite.
QuantizedMatrix load_int_quantized(const std::string& module_name, const QuantizationScheme& scheme,
                                   const TensorLookup& lookup);

/// The same, with the codes left where the tensor has them.
QuantizedMatrix open_int_quantized(const std::string& module_name, const QuantizationScheme& scheme,
                                   const TensorLookup& lookup);

}  // namespace terse
