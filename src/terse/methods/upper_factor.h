// The Cholesky factorisation from the last column to the first, on all threads.
#pragma once

#include <cstdint>

#include "terse/core/tensor.h"

namespace terse {

/// Replaces the upper triangle of A [n, n], the first n columns of `matrix` [n, at least n], by
/// that of R with A = R R^T; R is upper triangular. What lies below the diagonal is not used.
/// Work goes from the last tile of columns to the first: tiles are fixed, each computed by one
/// thread, so the bytes do not depend on the number of threads.
/// Returns false, with the matrix spoilt, when A is not positive definite in float32 or not finite.
bool factor_upper(Matrix& matrix);

}  // namespace terse
