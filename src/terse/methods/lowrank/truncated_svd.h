// The best approximation of a matrix by one of low rank.
#pragma once

#include <cstdint>

#include "terse/core/tensor.h"

namespace terse {

/// left right, left [rows, r] and right [r, columns]: the first r terms of the singular value
/// decomposition, the root of each singular value on either side. No product of rank r is nearer to
/// the matrix in the Frobenius norm (Eckart and Young, 1936).
struct TruncatedSvd {
  Matrix left;
  Matrix right;
};

/// From the eigenvectors of the smaller Gram matrix, in float64. Terms beyond the rank of the
/// matrix are zero. The same bytes on any number of threads. Errors: failed when the eigenvalues do
/// not converge, as with values that are not finite.
TruncatedSvd truncated_svd(const Matrix& matrix, std::int64_t r);

}  // namespace terse
