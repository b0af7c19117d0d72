// Products of matrices with the same bytes on any number of threads: BLAS computes fixed tiles,
// each on one thread.
#pragma once

#include <cstdint>

#include "terse/core/tensor.h"

namespace terse {

/// A factor of a product: a matrix in memory, row after row, as it is or transposed. T is float or
/// double.
template <class T>
struct ProductFactor {
  const T* data;
  std::int64_t stored_rows;
  std::int64_t stored_columns;
  bool transposed = false;

  std::int64_t rows() const { return transposed ? stored_columns : stored_rows; }
  std::int64_t columns() const { return transposed ? stored_rows : stored_columns; }
};

/// out = a b, or out += a b; out is [a.rows, b.columns].
template <class T>
void multiply_into(T* out, const ProductFactor<T>& a, const ProductFactor<T>& b, bool add = false);

/// Rows [first, first + count) of a b, on the calling thread; `out` is where they begin.
template <class T>
void multiply_rows(T* out, const ProductFactor<T>& a, const ProductFactor<T>& b, std::int64_t first,
                   std::int64_t count, bool add = false);

/// The upper triangle of A B [n, n], on and above the diagonal, where the product is symmetric;
/// what lies far below it is not computed. Half of the work.
template <class T>
void multiply_upper(T* out, const ProductFactor<T>& a, const ProductFactor<T>& b);

/// a b.
Matrix product(const Matrix& a, const Matrix& b);

}  // namespace terse
