#include "terse/methods/lowrank/eigenvectors.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "terse/core/error.h"
#include "terse/methods/lowrank/tridiagonal.h"
#include "terse/methods/lowrank/tridiagonal_spectrum.h"

// LAPACK: eigenvalues of a tridiagonal matrix. OpenBLAS holds it, but Debian's package
// has no header for it.
// NOLINTBEGIN(readability-identifier-naming)
extern "C" {
void dsterf_(const int* n, double* d, double* e, int* info);
}
// NOLINTEND(readability-identifier-naming)

namespace terse {
namespace {

void require_converged(int info) {
  if (info != 0) throw failure("eigenvalues did not converge");
}

// Near the largest element of the lower triangle: dividing by it rounds nothing, and squares
// neither overflow nor vanish.
template <class Real>
Real power_of_two(const Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic>& symmetric) {
  Real largest = 0;
  for (std::int64_t column = 0; column < symmetric.cols(); ++column) {
    const auto below = symmetric.col(column).tail(symmetric.rows() - column);
    largest = std::max(largest, below.cwiseAbs().maxCoeff());
  }
  return largest > 0 && std::isfinite(largest) ? std::exp2(Real(std::ilogb(largest))) : Real(1);
}

}  // namespace

template <class Real>
LargestEigenvectors<Real> largest_eigenvectors(
    Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic> symmetric, std::int64_t r) {
  const Real scale = power_of_two(symmetric);
  symmetric /= scale;
  const Tridiagonal<Real> form(std::move(symmetric));
  auto spectrum = largest_of_tridiagonal<Real>(form.diagonal(), form.beside(), r);
  LargestEigenvectors<Real> largest{
      static_cast<double>(scale) * spectrum.values.template cast<double>(),
      std::move(spectrum.vectors)};
  form.turn_back(largest.vectors);
  return largest;
}

template LargestEigenvectors<float> largest_eigenvectors(Eigen::MatrixXf, std::int64_t);
template LargestEigenvectors<double> largest_eigenvectors(Eigen::MatrixXd, std::int64_t);

Eigen::VectorXd eigenvalues(Eigen::MatrixXd symmetric) {
  const Tridiagonal<double> form(std::move(symmetric));
  Eigen::VectorXd values = form.diagonal();
  Eigen::VectorXd beside = form.beside();
  const auto n = static_cast<int>(values.size());
  int info = 0;
  dsterf_(&n, values.data(), beside.data(), &info);
  require_converged(info);
  return values.reverse();
}

}  // namespace terse
