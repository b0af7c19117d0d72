#include "terse/methods/lowrank/truncated_svd.h"

#include <algorithm>
#include <cmath>

#include "terse/core/error.h"
#include "terse/core/matrix_product.h"
#include "terse/core/threads.h"
#include "terse/methods/lowrank/eigenvectors.h"
#include "terse/methods/lowrank/whitening.h"

namespace terse {
namespace {

using RowMajor = RowMajorMatrix64;

ProductFactor<double> factor(const RowMajor& matrix, bool transposed = false) {
  return {matrix.data(), matrix.rows(), matrix.cols(), transposed};
}

// What is column-major in memory is the transpose of what is row-major.
ProductFactor<double> factor(const Eigen::MatrixXd& matrix, bool transposed = false) {
  return {matrix.data(), matrix.cols(), matrix.rows(), !transposed};
}

template <class A, class B>
RowMajor multiply(const A& a, bool a_transposed, const B& b, bool b_transposed = false) {
  const auto left = factor(a, a_transposed);
  const auto right = factor(b, b_transposed);
  RowMajor out(left.rows(), right.columns());
  multiply_into(out.data(), left, right);
  return out;
}

// X Y^T or X^T Y, which is symmetric: the lower triangle by columns is the upper one by rows.
Eigen::MatrixXd gram(const RowMajor& x, const RowMajor& y, bool transposed) {
  const auto left = factor(x, transposed);
  Eigen::MatrixXd products(left.rows(), left.rows());
  multiply_upper(products.data(), left, factor(y, !transposed));
  return products;
}

Eigen::MatrixXd eigenvectors_of(const RowMajor& x, const RowMajor& y, bool transposed,
                                std::int64_t r) {
  return largest_eigenvectors(gram(x, y, transposed), r).vectors;
}

// M C for M [n, columns].
RowMajor times_moments(const RowMajor& matrix, const ErrorWeights& weights) {
  if (weights.moments != nullptr) return multiply(matrix, false, whole_sums(*weights.moments));
  RowMajor scaled = matrix;
  if (weights.columns.size() > 0) {
    scaled.array().rowwise() *= weights.columns.cast<double>().array().square().transpose();
  }
  return scaled;
}

// The products of rank r: left [rows, terms], right [terms, columns].
struct Terms {
  RowMajor left;
  RowMajor right;
};

// B A = U U^T M, U the eigenvectors of M C M^T.
Terms of_wide(const RowMajor& matrix, const ErrorWeights& weights, std::int64_t terms) {
  const RowMajor weighted = times_moments(matrix, weights);
  const Eigen::MatrixXd u = eigenvectors_of(weighted, matrix, false, terms);
  return {u, multiply(u, true, matrix)};
}

RowMajor with_scaled_columns(RowMajor matrix, const ErrorWeights& weights) {
  const Eigen::RowVectorXd columns = weights.columns.cast<double>().transpose();
  if (columns.size() > 0) matrix.array().rowwise() *= columns.array();
  return matrix;
}

// C = R R^T: B = M R V and A = V^T R^-1, V the eigenvectors of R^T M^T M R.
Terms of_high(const RowMajor& matrix, const ErrorWeights& weights, std::int64_t terms) {
  if (weights.moments == nullptr) {
    const RowMajor scaled = with_scaled_columns(matrix, weights);
    const Eigen::MatrixXd v = eigenvectors_of(scaled, scaled, true, terms);
    Terms found{multiply(scaled, false, v), v.transpose()};
    if (weights.columns.size() > 0) {
      found.right.array().rowwise() /= weights.columns.cast<double>().transpose().array();
    }
    return found;
  }
  const RowMajor root = whitening_root(*weights.moments).cast<double>();
  const RowMajor whitened = multiply(matrix, false, root);
  const Eigen::MatrixXd v = eigenvectors_of(whitened, whitened, true, terms);
  return {multiply(whitened, false, v), times_inverse(v.transpose(), root)};
}

Eigen::MatrixXd smaller_gram(const RowMajor& matrix, const ErrorWeights& weights) {
  if (matrix.rows() <= matrix.cols()) return gram(times_moments(matrix, weights), matrix, false);
  const RowMajor weighted =
      weights.moments == nullptr
          ? with_scaled_columns(matrix, weights)
          : multiply(matrix, false, RowMajor(whitening_root(*weights.moments).cast<double>()));
  return gram(weighted, weighted, true);
}

void require_finite(const Matrix& matrix) {
  if (all_finite({matrix.data(), static_cast<std::size_t>(matrix.size())})) return;
  throw failure("a singular value decomposition of values that are not finite");
}

// Each term with the root of its length on either side.
TruncatedSvd balanced(const Terms& terms, std::int64_t r) {
  TruncatedSvd result{Matrix::Zero(terms.left.rows(), r), Matrix::Zero(r, terms.right.cols())};
  for (std::int64_t i = 0; i < terms.right.rows(); ++i) {
    const double left = terms.left.col(i).norm();
    const double right = terms.right.row(i).norm();
    if (!(left > 0 && right > 0)) continue;
    const double balance = std::sqrt(right / left);
    result.left.col(i) = (terms.left.col(i) * balance).cast<float>();
    result.right.row(i) = (terms.right.row(i) / balance).cast<float>();
  }
  return result;
}

}  // namespace

Eigen::VectorXd squared_singular_values(const Matrix& matrix, const ErrorWeights& weights) {
  require_finite(matrix);
  // Rounding leaves the least of them on either side of zero.
  return eigenvalues(smaller_gram(matrix.cast<double>(), weights)).cwiseMax(0.0);
}

// The matrix and its product with the moments, the moments, the Gram matrix and its eigenvectors.
std::uint64_t truncated_svd_bytes(std::int64_t rows, std::int64_t columns) {
  const std::int64_t smaller = std::min(rows, columns);
  return sizeof(double) *
         static_cast<std::uint64_t>(2 * rows * columns + columns * columns + 2 * smaller * smaller);
}

TruncatedSvd truncated_svd(const Matrix& matrix, std::int64_t r, const ErrorWeights& weights) {
  require_finite(matrix);
  const RowMajor exact = matrix.cast<double>();
  const std::int64_t terms = std::min({r, matrix.rows(), matrix.cols()});
  const bool wide = matrix.rows() <= matrix.cols();
  return balanced(wide ? of_wide(exact, weights, terms) : of_high(exact, weights, terms), r);
}

}  // namespace terse
