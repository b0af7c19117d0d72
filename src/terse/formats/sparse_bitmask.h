// Sparse weights of real numbers, in the layouts that compressed-tensors had until 2026
// (https://github.com/vllm-project/compressed-tensors before #610, compressors/sparse_compressors).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "terse/core/tensor.h"
#include "terse/formats/quantized_tensors.h"
#include "terse/formats/sparse_mask.h"

namespace terse {

/// The kept elements of a matrix, row after row, in the type that they are stored in.
struct SparseMatrix {
  SparseLayout layout = SparseLayout::bitmap;
  SparseMask mask;
  Tensor values;                      ///< [kept]; [rows, columns / 2] for 2:4.
  std::vector<std::int64_t> offsets;  ///< SparseMask::row_offsets.

  /// What the mask keeps of `dense` [rows, columns]; for 2:4 the mask is padded first.
  static SparseMatrix from_dense(const Tensor& dense, SparseMask mask, SparseLayout layout);

  /// All of it, [rows, columns], in its own type.
  Tensor dense() const;

  /// Row `index` in float32, columns() values.
  void row(std::int64_t index, float* out) const;
};

/// The tensors of the weight of `module_name`:
///   .shape        int64 [2], [2, 1] for 2:4: rows, columns
///   .compressed   the kept values; [kept] row after row, [rows, columns / 2] for 2:4
///   .bitmask      uint8 [rows, ceil(columns / 8)]: SparseMask
///   .row_offsets  int64 [rows], not for 2:4: how many values lie before each row
/// Bits per weight of b-bit numbers: bitmap 1 + b * (share kept) + 64 / columns; 2:4 1 + b / 2.
std::vector<NamedTensor> pack_sparse(const std::string& module_name, const SparseMatrix& matrix);

/// Reads them; `shape` may have any shape of two elements, and be int32. Errors: bad_input, naming
/// the tensor: missing, wrong type or shape, a mask that the number of values contradicts or that
/// is not 2:4, row offsets that are not those of the mask.
SparseMatrix unpack_sparse(const std::string& module_name, SparseLayout layout,
                           const TensorLookup& lookup);

}  // namespace terse
