// The best approximation of a matrix by one of low rank.
#pragma once

#include <cstdint>

#include "terse/core/tensor.h"
#include "terse/methods/second_moments.h"

namespace terse {

/// left right, left [rows, r] and right [r, columns]: r terms, by falling singular value, each of
/// equal length on either side.
struct TruncatedSvd {
  Matrix left;
  Matrix right;
};

/// How much an error E [rows, columns] counts: ||E C^(1/2)||_F, where C are the second moments of
/// the inputs, or diag(columns)^2, or without either the identity.
struct ErrorWeights {
  Vector columns = {};                     ///< Positive; empty: 1.
  const SecondMoments* moments = nullptr;  ///< Then `columns` is empty.
};

/// The product of rank r nearest to the matrix by that norm. Without weights the first r terms of
/// the singular value decomposition (Eckart and Young, 1936); with moments those of the whitened
/// matrix (Wang et al., SVD-LLM, ICLR 2025, arXiv 2403.07378, section 3.2), without its inverse:
/// the eigenvectors U of W C W^T give B A = U U^T W. Of a matrix that is higher than wide the
/// smaller Gram matrix is taken, with a Cholesky factor of C. In float64. Terms beyond the rank of
/// the matrix are zero. The same bytes on any number of threads. Errors: failed when the
/// eigenvalues do not converge, as with values that are not finite, or moments cannot be factored.
TruncatedSvd truncated_svd(const Matrix& matrix, std::int64_t r, const ErrorWeights& weights = {});

/// The squares of the singular values of the weighted matrix, falling [min(rows, columns)]: what
/// the nearest product of rank r leaves of ||E C^(1/2)||^2 is the sum of all after the first r.
/// Errors and bytes as truncated_svd.
Eigen::VectorXd squared_singular_values(const Matrix& matrix, const ErrorWeights& weights = {});

/// Bytes that truncated_svd works in, whatever its weights.
std::uint64_t truncated_svd_bytes(std::int64_t rows, std::int64_t columns);

}  // namespace terse
