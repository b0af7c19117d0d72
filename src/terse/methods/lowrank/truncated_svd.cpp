#include "terse/methods/lowrank/truncated_svd.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "terse/core/error.h"
#include "terse/core/matrix_product.h"
#include "terse/core/threads.h"
#include "terse/methods/lowrank/eigenvectors.h"
#include "terse/methods/lowrank/whitening.h"

namespace terse {
namespace {

template <class Real>
using ColumnMajor = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic>;

// What is lost must be so much of the largest eigenvalue, whose rounding in float32 the others
// feel.
constexpr double kRounding = 1e-3;

template <class Real>
ProductFactor<Real> factor(const RowMajorMatrix<Real>& matrix, bool transposed = false) {
  return {matrix.data(), matrix.rows(), matrix.cols(), transposed};
}

// What is column-major in memory is the transpose of what is row-major.
template <class Real>
ProductFactor<Real> factor(const ColumnMajor<Real>& matrix, bool transposed = false) {
  return {matrix.data(), matrix.cols(), matrix.rows(), !transposed};
}

template <class Real>
RowMajorMatrix<Real> multiply(const ProductFactor<Real>& left, const ProductFactor<Real>& right) {
  RowMajorMatrix<Real> out(left.rows(), right.columns());
  multiply_into(out.data(), left, right);
  return out;
}

// X Y^T or X^T Y, which is symmetric: the lower triangle by columns is the upper one by rows.
template <class Real>
ColumnMajor<Real> gram(const RowMajorMatrix<Real>& x, const RowMajorMatrix<Real>& y,
                       bool transposed) {
  const auto left = factor(x, transposed);
  ColumnMajor<Real> products(left.rows(), left.rows());
  multiply_upper(products.data(), left, factor(y, !transposed));
  return products;
}

template <class Real>
RowMajorMatrix<Real> with_scaled_columns(const RowMajorMatrix<Real>& matrix, const Vector& scales) {
  if (scales.size() == 0) return matrix;
  return matrix * scales.cast<Real>().asDiagonal();
}

// The matrix by whose smaller Gram matrix terms are found. Of a wide one that is M itself, its
// Gram matrix M C M^T; of a high one M R, C = R R^T.
template <class Real>
class Weighted {
 public:
  Weighted(const Matrix& matrix, const ErrorWeights& weights)
      : wide_(matrix.rows() <= matrix.cols()), weights_(weights), matrix_(matrix.cast<Real>()) {
    if (wide_) return;
    if (weights.moments != nullptr) {
      root_ = whitening_root(*weights.moments).template cast<Real>();
      matrix_ = multiply(factor(matrix_), factor(root_));
    } else {
      matrix_ = with_scaled_columns(matrix_, weights.columns);
    }
  }

  ColumnMajor<Real> smaller_gram() const {
    if (!wide_) return gram(matrix_, matrix_, true);
    if (weights_.moments != nullptr) {
      return gram(multiply(factor(matrix_), factor(whole_sums<Real>(*weights_.moments))), matrix_,
                  false);
    }
    const RowMajorMatrix<Real> scaled = with_scaled_columns(matrix_, weights_.columns);
    return gram(scaled, scaled, false);
  }

  // Wide: B A = U U^T M. High: B = M R V and A = V^T R^-1.
  std::pair<RowMajorMatrix<Real>, RowMajorMatrix<Real>> factors(
      const ColumnMajor<Real>& vectors) const {
    if (wide_) return {vectors, multiply(factor(vectors, true), factor(matrix_))};
    RowMajorMatrix<Real> left = multiply(factor(matrix_), factor(vectors));
    RowMajorMatrix<Real> right = vectors.transpose();
    if (weights_.moments != nullptr) return {left, times_inverse(std::move(right), root_)};
    return {left, with_scaled_columns<Real>(right, weights_.columns.cwiseInverse())};
  }

 private:
  bool wide_;
  const ErrorWeights& weights_;
  RowMajorMatrix<Real> matrix_;
  RowMajorMatrix<Real> root_;
};

// Each term with the root of its length on either side.
template <class Real>
TruncatedSvd balanced(const RowMajorMatrix<Real>& left, const RowMajorMatrix<Real>& right,
                      std::int64_t r) {
  TruncatedSvd result{Matrix::Zero(left.rows(), r), Matrix::Zero(r, right.cols())};
  const Eigen::RowVectorXd lengths = left.template cast<double>().colwise().norm();
  Vector scales = Vector::Zero(left.cols());
  for (std::int64_t i = 0; i < right.rows(); ++i) {
    const double length = right.row(i).template cast<double>().norm();
    if (!(lengths[i] > 0 && length > 0)) continue;
    const double balance = std::sqrt(length / lengths[i]);
    scales[i] = static_cast<float>(balance);
    result.right.row(i) = (right.row(i).template cast<double>() / balance).template cast<float>();
  }
  result.left.leftCols(left.cols()) = left.template cast<float>() * scales.asDiagonal();
  return result;
}

// Nothing where rounding is not small beside what is lost.
template <class Real>
std::optional<TruncatedSvd> decompose(const Matrix& matrix, std::int64_t r,
                                      const ErrorWeights& weights, double rounding) {
  const std::int64_t terms = std::min({r, matrix.rows(), matrix.cols()});
  const Weighted<Real> weighted(matrix, weights);
  ColumnMajor<Real> products = weighted.smaller_gram();
  const double whole = products.diagonal().template cast<double>().sum();
  const auto found = largest_eigenvectors<Real>(std::move(products), terms);
  if (whole - found.values.sum() < rounding * found.values[0]) return std::nullopt;
  const auto [left, right] = weighted.factors(found.vectors);
  return balanced(left, right, r);
}

void require_finite(const Matrix& matrix) {
  if (all_finite({matrix.data(), static_cast<std::size_t>(matrix.size())})) return;
  throw failure("a singular value decomposition of values that are not finite");
}

}  // namespace

Eigen::VectorXd squared_singular_values(const Matrix& matrix, const ErrorWeights& weights) {
  require_finite(matrix);
  // Rounding leaves the least of them on either side of zero.
  return eigenvalues(Weighted<double>(matrix, weights).smaller_gram()).cwiseMax(0.0);
}

// The matrix and its product with the moments, the moments, the Gram matrix, and what
// the decomposition works in.
std::uint64_t truncated_svd_bytes(std::int64_t rows, std::int64_t columns) {
  const std::int64_t smaller = std::min(rows, columns);
  return sizeof(double) *
         static_cast<std::uint64_t>(2 * rows * columns + columns * columns + 6 * smaller * smaller);
}

TruncatedSvd truncated_svd(const Matrix& matrix, std::int64_t r, const ErrorWeights& weights) {
  require_finite(matrix);
  std::optional<TruncatedSvd> found;
  if (std::min(matrix.rows(), matrix.cols()) >= kFloat32From) {
    found = decompose<float>(matrix, r, weights, kRounding);
  }
  if (!found) found = decompose<double>(matrix, r, weights, -HUGE_VAL);
  return *std::move(found);
}

}  // namespace terse
