#include "terse/methods/lowrank/whitening.h"

#include <cblas.h>

#include <algorithm>

#include "terse/core/error.h"
#include "terse/core/threads.h"
#include "terse/methods/upper_factor.h"

namespace terse {
namespace {

constexpr std::int64_t kRowTile = 128;
constexpr double kDamping = 1e-6;
constexpr double kLargestDamping = 1.0;

Matrix damped_sums(const SecondMoments& moments, double damping, double mean) {
  Matrix sums = moments.upper_sums();
  for (std::int64_t i = 0; i < sums.rows(); ++i) {
    sums(i, i) += static_cast<float>(sums(i, i) > 0 ? damping * sums(i, i) : mean);
  }
  return sums;
}

// X R = B, in the place of B [rows, n].
void solve_rows(int rows, int n, const float* upper, float* b) {
  cblas_strsm(CblasRowMajor, CblasRight, CblasUpper, CblasNoTrans, CblasNonUnit, rows, n, 1.0F,
              upper, n, b, n);
}
void solve_rows(int rows, int n, const double* upper, double* b) {
  cblas_dtrsm(CblasRowMajor, CblasRight, CblasUpper, CblasNoTrans, CblasNonUnit, rows, n, 1.0,
              upper, n, b, n);
}

}  // namespace

template <class Real>
RowMajorMatrix<Real> whole_sums(const SecondMoments& moments) {
  const Matrix& upper = moments.upper_sums();
  RowMajorMatrix<Real> whole(upper.rows(), upper.cols());
  const std::int64_t tiles = (upper.rows() + kRowTile - 1) / kRowTile;
  parallel_for(tiles * tiles, [&](std::int64_t index) {
    const std::int64_t i = index / tiles * kRowTile;
    const std::int64_t j = index % tiles * kRowTile;
    if (i > j) return;
    const std::int64_t rows = std::min(kRowTile, upper.rows() - i);
    const std::int64_t columns = std::min(kRowTile, upper.cols() - j);
    whole.block(i, j, rows, columns) = upper.block(i, j, rows, columns).template cast<Real>();
    if (i < j) {
      whole.block(j, i, columns, rows) = whole.block(i, j, rows, columns).transpose();
      return;
    }
    auto diagonal = whole.block(i, i, rows, rows);
    diagonal.template triangularView<Eigen::StrictlyLower>() = diagonal.transpose();
  });
  return whole;
}

Matrix whitening_root(const SecondMoments& moments) {
  const double mean = moments.upper_sums().diagonal().cast<double>().mean();
  if (!(mean > 0)) throw failure("no inputs were seen, or all of them were zero");
  for (double damping = kDamping; damping <= kLargestDamping; damping *= 10) {
    Matrix root = damped_sums(moments, damping, mean);
    if (!factor_upper(root)) continue;
    root.triangularView<Eigen::StrictlyLower>().setZero();
    return root;
  }
  throw failure("the second moments of the inputs cannot be factored");
}

template <class Real>
RowMajorMatrix<Real> times_inverse(RowMajorMatrix<Real> matrix, const RowMajorMatrix<Real>& upper) {
  const auto n = static_cast<int>(upper.rows());
  parallel_tiles(matrix.rows(), kRowTile, [&](std::int64_t first, std::int64_t count) {
    solve_rows(static_cast<int>(count), n, upper.data(), matrix.data() + first * n);
  });
  return matrix;
}

template RowMajorMatrix<float> whole_sums(const SecondMoments&);
template RowMajorMatrix<double> whole_sums(const SecondMoments&);
template RowMajorMatrix<float> times_inverse(RowMajorMatrix<float>, const RowMajorMatrix<float>&);
template RowMajorMatrix<double> times_inverse(RowMajorMatrix<double>,
                                              const RowMajorMatrix<double>&);

}  // namespace terse
