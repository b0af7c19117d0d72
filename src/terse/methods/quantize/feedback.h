// Quantisation of the rows of a weight, column after column, with linear feedback of the errors.
#pragma once

#include <cstdint>
#include <vector>

#include "terse/core/tensor.h"
#include "terse/formats/quantized_matrix.h"
#include "terse/methods/quantize/gptq_hessian.h"
#include "terse/methods/quantize/grid.h"

namespace terse {

/// How columns are walked and where their grids come from.
struct FeedbackOptions {
  GridOptions grid;
  /// Columns between which errors are fed back one at a time; further ones get them by a matrix
  /// product. Changes the speed and, in the last bits, the rounding of sums; nothing else.
  std::int64_t block_size = 128;
  /// With 0 the grids in `result` are used. Else each run of so many steps is a group whose grid
  /// is fitted when its first column is reached, to the weights that make up best for all errors
  /// before; it must divide the number of columns.
  std::int64_t running_group_size = 0;
  /// Weights that are zero stay exactly zero; the others make up for it.
  bool keep_zeros = false;
};

/// Step k takes column c = order[k] of W [rows, columns]:
///   w'_k = w_k + sum_{i<k} (w_i - q_i) U[i, k],   q_k = the point of the grid nearest to w'_k.
/// Sets the codes of `result` (in the stored order of columns) and, for running groups, scales and
/// zeros (group k / running_group_size). Rows are independent and shared out over all threads.
void quantize_with_feedback(const FeedbackOptions& options, const Matrix& weight,
                            const GptqHessian& hessian, QuantizedMatrix& result);

}  // namespace terse
