// Eigenvectors of symmetric matrices.
#pragma once

#include <cstdint>

#include <Eigen/Core>

namespace terse {

/// Rows of matrices that float32 is tried for: for smaller ones float64 takes no time.
inline constexpr std::int64_t kFloat32From = 768;

/// The r largest eigenvalues of a symmetric matrix [n, n], falling, and their eigenvectors as
/// columns.
template <class Real>
struct LargestEigenvectors {
  Eigen::VectorXd values;                                       ///< [r]
  Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic> vectors;  ///< [n, r]
};

/// Reads the lower triangle as Eigen stores it, column after column; works in the type of the
/// matrix, float or double, and in three more of its size. The same bytes on any number of threads.
/// Errors: failed with values that are not finite, and when they do not converge.
template <class Real>
LargestEigenvectors<Real> largest_eigenvectors(
    Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic> symmetric, std::int64_t r);

/// All eigenvalues of a symmetric matrix [n, n], falling. As largest_eigenvectors.
Eigen::VectorXd eigenvalues(Eigen::MatrixXd symmetric);

}  // namespace terse
