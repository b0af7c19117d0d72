// Eigenvectors of symmetric matrices.
#pragma once

#include <cstdint>

#include <Eigen/Core>

namespace terse {

/// The r largest eigenvalues of a symmetric matrix [n, n], falling, and their eigenvectors as
/// columns.
struct LargestEigenvectors {
  Eigen::VectorXd values;   ///< [r]
  Eigen::MatrixXd vectors;  ///< [n, r]
};

/// Reads the lower triangle as Eigen stores it, column after column. The same bytes on any number
/// of threads. Errors: failed with values that are not finite, and when they do not converge.
LargestEigenvectors largest_eigenvectors(Eigen::MatrixXd symmetric, std::int64_t r);

/// All eigenvalues of a symmetric matrix [n, n], falling. As largest_eigenvectors.
Eigen::VectorXd eigenvalues(Eigen::MatrixXd symmetric);

}  // namespace terse
