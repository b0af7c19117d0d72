#include "terse/methods/lowrank/refit.h"

#include <Eigen/Cholesky>
#include <cmath>
#include <limits>

#include "terse/core/error.h"
#include "terse/core/matrix_product.h"
#include "terse/core/threads.h"
#include "terse/methods/lowrank/whitening.h"

namespace terse {
namespace {

using RowMajor = RowMajorMatrix<double>;
using Factor = Eigen::LLT<Eigen::MatrixXd>;

constexpr std::int64_t kRowTile = 64;
constexpr double kDamping = 1e-6;  // of the diagonal, or of its rounding where that is more
constexpr double kLargestDamping = 100.0;

ProductFactor<double> factor(const RowMajor& matrix, bool transposed = false) {
  return {matrix.data(), matrix.rows(), matrix.cols(), transposed};
}

// What rounding of the sums, which are float32, may add to the diagonal of A X X^T A^T.
Vector rounding(const RowMajor& a, const RowMajor& sums) {
  constexpr float kEpsilon = std::numeric_limits<float>::epsilon();
  const double largest = sums.diagonal().maxCoeff();
  return (kEpsilon * largest * a.rowwise().squaredNorm()).cast<float>();
}

Factor factored(const RowMajor& gram, const Vector& rounding) {
  for (double damping = kDamping; damping <= kLargestDamping; damping *= 10) {
    Eigen::MatrixXd damped = gram;
    damped.diagonal() += damping * gram.diagonal().cwiseMax(rounding.cast<double>());
    Factor found;
    // Inside a parallel loop of one tile, so that it stays on one thread.
    parallel_for(1, [&](std::int64_t) { found.compute(damped); });
    if (found.info() == Eigen::Success && std::isfinite(found.matrixLLT().sum())) return found;
  }
  throw failure("the second moments of what the inner factor puts out cannot be factored");
}

}  // namespace

// B' = B + (W Y - B A X) X^T A^T (A X X^T A^T)^-1, and Y X^T = X X^T + the shift.
Matrix refitted_left(const Matrix& weight, const TruncatedSvd& terms, const SecondMoments& moments,
                     const InputShift& shift) {
  const RowMajor a = terms.right.cast<double>();
  const RowMajor b = terms.left.cast<double>();
  RowMajor crossed = whole_sums<double>(moments);
  RowMajor inner(a.rows(), a.cols());
  multiply_into(inner.data(), factor(a), factor(crossed));
  RowMajor gram(a.rows(), a.rows());
  multiply_into(gram.data(), factor(inner), factor(a, true));
  const Vector noise = rounding(a, crossed);
  crossed += shift.sums().cast<double>();
  RowMajor wanted(a.cols(), a.rows());
  multiply_into(wanted.data(), factor(crossed), factor(a, true));
  RowMajor missing(b.rows(), b.cols());
  multiply_into(missing.data(), factor(b), factor(gram));
  missing = -missing;
  multiply_into(missing.data(), factor(weight.cast<double>()), factor(wanted), true);
  const Factor inverse = factored(gram, noise);
  Matrix left(b.rows(), b.cols());
  parallel_tiles(b.rows(), kRowTile, [&](std::int64_t first, std::int64_t count) {
    const Eigen::MatrixXd change = inverse.solve(missing.middleRows(first, count).transpose());
    left.middleRows(first, count) = (b.middleRows(first, count) + change.transpose()).cast<float>();
  });
  return left;
}

}  // namespace terse
