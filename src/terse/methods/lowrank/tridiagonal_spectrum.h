// Eigenvalues and vectors of a tridiagonal matrix, on all threads.
#pragma once

#include <Eigen/Core>
#include <cstdint>

namespace terse {

/// The r largest eigenvalues, falling, and their vectors as columns [n, r].
template <class Real>
struct TridiagonalSpectrum {
  Eigen::Matrix<Real, Eigen::Dynamic, 1> values;
  Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic> vectors;
};

/// Divide and conquer (Cuppen 1981; Gu and Eisenstat 1995; LAPACK's stedc): both halves at the same
/// time, then of their union the vectors that are asked for alone, which are most of the work. Real
/// is float or double. The same bytes on any number of threads. Errors: failed when eigenvalues do
/// not converge.
template <class Real>
TridiagonalSpectrum<Real> largest_of_tridiagonal(
    const Eigen::Matrix<Real, Eigen::Dynamic, 1>& diagonal,
    const Eigen::Matrix<Real, Eigen::Dynamic, 1>& beside, std::int64_t r);

}  // namespace terse
