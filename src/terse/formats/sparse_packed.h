// Sparse weights of packed integers: our own layout, with the names of pack-quantized where it has
// the same tensors.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "terse/core/tensor.h"
#include "terse/formats/quantized_matrix.h"
#include "terse/formats/quantized_tensors.h"
#include "terse/formats/sparse_mask.h"

namespace terse {

/// Keeps the elements whose code is not the zero point of their group: the others stand for 0.
SparseMask nonzero_mask(const QuantizedMatrix& matrix);

/// Words of the packed codes of all rows: those of a row begin at a whole word.
std::int64_t packed_words(const SparseMask& mask, int bits);

/// The tensors of the weight of `module_name`, of which `mask` keeps at least nonzero_mask; for
/// 2:4 it is padded first. With words(n) = ceil(n * bits / 32):
///   .weight_packed  int32: the kept codes of each row, packed densely, one row after the other
///                   [sum of words(kept of row)]; [rows, words(columns / 2)] for 2:4
///   .bitmask        uint8 [rows, ceil(columns / 8)]: SparseMask
///   .weight_scale, .weight_zero_point, .weight_g_idx, .weight_shape, .input_scale,
///   .input_zero_point  as in pack_quantized.h
/// Rows begin at whole words so that each can be read, and packed, by itself: where it begins
/// follows from the mask alone. It costs 16 bits a row on average.
/// Bits per weight: bitmap 1 + bits * (share kept) + 16 / columns, 2:4 1 + bits / 2; and scales and
/// zero points as in pack_quantized.h.
/// Errors: failed when the parts of `matrix` contradict its scheme.
std::vector<NamedTensor> pack_sparse_quantized(const std::string& module_name,
                                               const QuantizedMatrix& matrix, SparseMask mask,
                                               SparseLayout layout);

/// Reads them; elements that are not kept get the zero point of their group. Errors: bad_input,
/// naming the tensor: those of unpack_quantized, a mask that the number of words contradicts or
/// that is not 2:4.
QuantizedMatrix unpack_sparse_quantized(const std::string& module_name,
                                        const QuantizationScheme& scheme, SparseLayout layout,
                                        const TensorLookup& lookup);

}  // namespace terse
