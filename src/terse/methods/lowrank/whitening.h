// Factors of second moments, by which inputs become uncorrelated.
#pragma once

#include <Eigen/Core>

#include "terse/core/tensor.h"
#include "terse/methods/second_moments.h"

namespace terse {

/// Row after row; Real is float or double.
template <class Real>
using RowMajorMatrix = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// sum_t x_t x_t^T, both triangles.
template <class Real>
RowMajorMatrix<Real> whole_sums(const SecondMoments& moments);

/// R upper triangular, zero below the diagonal, with R R^T = sum_t x_t x_t^T + damping. The damping
/// is a millionth of the diagonal, so that one large input does not drown the others, ten times as
/// much while the factorisation fails, and the mean of it for inputs that were always zero. Errors:
/// failed when no inputs were seen or nothing can be factored.
Matrix whitening_root(const SecondMoments& moments);

/// M R^-1 for an upper triangular R.
template <class Real>
RowMajorMatrix<Real> times_inverse(RowMajorMatrix<Real> matrix, const RowMajorMatrix<Real>& upper);

}  // namespace terse
