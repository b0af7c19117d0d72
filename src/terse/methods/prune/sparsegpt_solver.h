// Pruning of the rows of a weight, column after column, with linear feedback of the errors.
#pragma once

#include <cstdint>
#include <optional>

#include "terse/core/tensor.h"
#include "terse/formats/quantized_matrix.h"
#include "terse/methods/prune/pruning_options.h"
#include "terse/methods/quantize/gptq_hessian.h"

namespace terse {

struct SparseGptOptions {
  PruningOptions pruning;
  /// Columns whose weights, of all rows, are compared with each other; not with a pattern.
  std::int64_t block_size = 128;
  /// Weights that are zero stay zero and count as pruned.
  bool keep_zeros = false;
};

/// SparseGPT (Frantar & Alistarh 2023, algorithm 1) as linear feedback. Step k takes column k of
/// W [rows, columns]; with H = U D U^T
///   w'_k = w_k + sum_{i<k} (w_i - q_i) U[i, k],   q_k = 0 where pruned, else w'_k.
/// When a block of columns (with a pattern: every m columns) is reached, the weights v that make up
/// best for all errors before it are found, and those with the smallest v^2 D are pruned: the
/// paper's v^2 / [H_F^-1]_kk, as the Cholesky factor of H^-1 has D^-1/2 on its diagonal.
/// Every row tile is computed by one thread: the bytes do not depend on their number. Holds a
/// second copy of the weight without a pattern. `hessian.order` is the stored order.
void prune_with_feedback(const SparseGptOptions& options, const GptqHessian& hessian,
                         Matrix& weight);

/// The same with q_k = the point of the grid nearest to w'_k where it is not pruned; the grids are
/// those in `result`, which gets the codes: of what is pruned, the zero point.
void prune_and_quantize(const SparseGptOptions& options, const GptqHessian& hessian,
                        const Matrix& weight, QuantizedMatrix& result);

}  // namespace terse
