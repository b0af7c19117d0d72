#include "terse/methods/lowrank/whitening.h"

#include <cblas.h>

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
    sums(i, i) += static_cast<float>(sums(i, i) > 0 ? damping * mean : mean);
  }
  return sums;
}

}  // namespace

RowMajorMatrix64 whole_sums(const SecondMoments& moments) {
  const Matrix& upper = moments.upper_sums();
  RowMajorMatrix64 whole(upper.rows(), upper.cols());
  parallel_for(upper.rows(), [&](std::int64_t i) {
    for (std::int64_t j = 0; j < upper.cols(); ++j)
      whole(i, j) = i <= j ? upper(i, j) : upper(j, i);
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

RowMajorMatrix64 times_inverse(RowMajorMatrix64 matrix, const RowMajorMatrix64& upper) {
  const auto n = static_cast<int>(upper.rows());
  parallel_tiles(matrix.rows(), kRowTile, [&](std::int64_t first, std::int64_t count) {
    cblas_dtrsm(CblasRowMajor, CblasRight, CblasUpper, CblasNoTrans, CblasNonUnit,
                static_cast<int>(count), n, 1.0, upper.data(), n, matrix.data() + first * n, n);
  });
  return matrix;
}

}  // namespace terse
