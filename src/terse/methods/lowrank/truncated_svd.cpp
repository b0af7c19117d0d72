#include "terse/methods/lowrank/truncated_svd.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "terse/core/error.h"
#include "terse/core/threads.h"

// LAPACK: chosen eigenvalues and vectors of a symmetric matrix. OpenBLAS holds it, but Debian's
// package has no header for it.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" void dsyevr_(const char* jobz, const char* range, const char* uplo, const int* n,
                        double* a, const int* lda, const double* vl, const double* vu,
                        const int* il, const int* iu, const double* abstol, int* m, double* w,
                        double* z, const int* ldz, int* isuppz, double* work, const int* lwork,
                        int* iwork, const int* liwork, int* info);

namespace terse {
namespace {

constexpr std::int64_t kTile = 256;

using ColumnMajor = Eigen::MatrixXd;
using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// X X^T for X [n, k]; the lower triangle.
ColumnMajor gram(const RowMajor& x) {
  ColumnMajor product(x.rows(), x.rows());
  parallel_tiles(x.rows(), kTile, [&](std::int64_t first, std::int64_t count) {
    for (std::int64_t other = 0; other <= first; other += kTile) {
      const std::int64_t columns = std::min(kTile, x.rows() - other);
      product.block(first, other, count, columns).noalias() =
          x.middleRows(first, count) * x.middleRows(other, columns).transpose();
    }
  });
  return product;
}

// Eigenvectors of the r largest eigenvalues as columns, by rising eigenvalue.
ColumnMajor largest_eigenvectors(ColumnMajor symmetric, int r) {
  const int n = static_cast<int>(symmetric.rows());
  const int first = n - r + 1;
  const double unused = 0;
  int found = 0;
  int info = 0;
  std::vector<double> values(static_cast<std::size_t>(n));
  std::vector<int> support(2 * static_cast<std::size_t>(r));
  ColumnMajor vectors(n, r);
  std::vector<double> work(1);
  std::vector<int> integers(1);
  const auto solve = [&](int work_size, int integer_size) {
    dsyevr_("V", "I", "L", &n, symmetric.data(), &n, &unused, &unused, &first, &n, &unused, &found,
            values.data(), vectors.data(), &n, support.data(), work.data(), &work_size,
            integers.data(), &integer_size, &info);
  };
  solve(-1, -1);
  work.resize(static_cast<std::size_t>(work[0]));
  integers.resize(static_cast<std::size_t>(integers[0]));
  // Inside a parallel loop of one tile, so that BLAS stays on one thread.
  parallel_for(1, [&](std::int64_t) {
    solve(static_cast<int>(work.size()), static_cast<int>(integers.size()));
  });
  if (info != 0 || found != r) throw failure("a singular value decomposition did not converge");
  return vectors;
}

// The first terms of a matrix that is not higher than wide.
TruncatedSvd decompose(const RowMajor& x, std::int64_t r) {
  const auto terms = std::min<std::int64_t>(r, x.rows());
  const ColumnMajor vectors = largest_eigenvectors(gram(x), static_cast<int>(terms));
  RowMajor projected(terms, x.cols());
  parallel_tiles(x.cols(), kTile, [&](std::int64_t first, std::int64_t count) {
    projected.middleCols(first, count).noalias() = vectors.transpose() * x.middleCols(first, count);
  });
  TruncatedSvd result{Matrix::Zero(x.rows(), r), Matrix::Zero(r, x.cols())};
  for (std::int64_t i = 0; i < terms; ++i) {
    const std::int64_t from = terms - 1 - i;  // by falling singular value
    const double value = projected.row(from).norm();
    if (!(value > 0)) continue;
    result.left.col(i) = (vectors.col(from) * std::sqrt(value)).cast<float>();
    result.right.row(i) = (projected.row(from) / std::sqrt(value)).cast<float>();
  }
  return result;
}

}  // namespace

TruncatedSvd truncated_svd(const Matrix& matrix, std::int64_t r) {
  if (!all_finite({matrix.data(), static_cast<std::size_t>(matrix.size())})) {
    throw failure("a singular value decomposition of values that are not finite");
  }
  if (matrix.rows() <= matrix.cols()) return decompose(matrix.cast<double>(), r);
  TruncatedSvd turned = decompose(matrix.transpose().cast<double>(), r);
  return {turned.right.transpose(), turned.left.transpose()};
}

}  // namespace terse
