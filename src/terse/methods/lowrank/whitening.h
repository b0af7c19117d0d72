// Factors of second moments, by which inputs become uncorrelated.
#pragma once

#include <Eigen/Core>

#include "terse/core/tensor.h"
#include "terse/methods/second_moments.h"

namespace terse {

using RowMajorMatrix64 = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// sum_t x_t x_t^T, both triangles, in float64.
RowMajorMatrix64 whole_sums(const SecondMoments& moments);

/// R upper triangular, zero below the diagonal, with R R^T = sum_t x_t x_t^T + damping. The damping
/// is a millionth of the mean of the diagonal, ten times as much while the factorisation fails, and
/// whole for inputs that were always zero. Errors: failed when no inputs were seen or nothing can
/// be factored.
Matrix whitening_root(const SecondMoments& moments);

/// M R^-1 for an upper triangular R.
RowMajorMatrix64 times_inverse(RowMajorMatrix64 matrix, const RowMajorMatrix64& upper);

}  // namespace terse
