// Products of tensors with the same bytes on any number of threads (core/matrix_product.h).
#pragma once

#include "terse/train/torch.h"

#include <cstdint>

namespace terse::train {

/// A factor of a product, as it is or transposed.
struct Factor {
  const torch::Tensor& matrix;
  bool transposed = false;

  std::int64_t rows() const { return matrix.size(transposed ? 1 : 0); }
  std::int64_t columns() const { return matrix.size(transposed ? 0 : 1); }
};

/// out = a b, or out += a b; `out` [a.rows, b.columns]. What is not fusible (tensors.h) is computed
/// by libtorch.
void multiply_into(torch::Tensor out, const Factor& a, const Factor& b, bool add = false);

/// a b.
torch::Tensor product(const Factor& a, const Factor& b);

/// Rows [first, first + count) of a b, on the calling thread; all are fusible.
void multiply_rows(float* out, const Factor& a, const Factor& b, std::int64_t first,
                   std::int64_t count);

}  // namespace terse::train
