#include "terse/methods/upper_factor.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "terse/core/threads.h"

namespace terse {
namespace {

// Side of a tile that one thread works on, and of a triangle that plain loops factor.
constexpr std::int64_t kTile = 256;
constexpr int kSmall = 16;

// R R^T = A for a small triangle, from the last column to the first.
bool factor_small(float* a, int n, int stride) {
  for (int k = n - 1; k >= 0; --k) {
    const float pivot = a[k * stride + k];
    if (!(pivot > 0.0F) || !std::isfinite(pivot)) return false;
    const float root = std::sqrt(pivot);
    a[k * stride + k] = root;
    for (int i = 0; i < k; ++i) a[i * stride + k] /= root;
    for (int i = 0; i < k; ++i) {
      for (int j = i; j < k; ++j) a[i * stride + j] -= a[i * stride + k] * a[j * stride + k];
    }
  }
  return true;
}

// [A11 A12; . A22] by halves: A22 = R22 R22^T, R12 = A12 R22^-T, A11 - R12 R12^T = R11 R11^T.
bool factor_triangle(float* a, int n, int stride) {
  if (n <= kSmall) return factor_small(a, n, stride);
  const int first = n / 2;
  const int rest = n - first;
  float* a12 = a + first;
  float* a22 = a + static_cast<std::int64_t>(first) * stride + first;
  if (!factor_triangle(a22, rest, stride)) return false;
  cblas_strsm(CblasRowMajor, CblasRight, CblasUpper, CblasTrans, CblasNonUnit, first, rest, 1.0F,
              a22, stride, a12, stride);
  cblas_ssyrk(CblasRowMajor, CblasUpper, CblasNoTrans, first, rest, -1.0F, a12, stride, 1.0F, a,
              stride);
  return factor_triangle(a, first, stride);
}

// The steps of the factorisation over tiles; [begin, end) are the columns of the present tile.
class TiledFactor {
 public:
  explicit TiledFactor(Matrix& matrix)
      : a_(matrix.data()), stride_(static_cast<int>(matrix.cols())) {}

  bool factor_diagonal(std::int64_t begin, std::int64_t end) {
    bool done = false;
    // Inside a parallel loop of one tile, so that BLAS stays on one thread.
    parallel_for(1, [&](std::int64_t) {
      done = factor_triangle(at(begin, begin), static_cast<int>(end - begin), stride_);
    });
    return done;
  }

  // R[0:begin, tile] = A[0:begin, tile] R[tile, tile]^-T.
  void solve_column(std::int64_t begin, std::int64_t end) {
    parallel_for(tile_count(begin), [&](std::int64_t t) {
      const std::int64_t row = t * kTile;
      cblas_strsm(CblasRowMajor, CblasRight, CblasUpper, CblasTrans, CblasNonUnit,
                  height(row, begin), static_cast<int>(end - begin), 1.0F, at(begin, begin),
                  stride_, at(row, begin), stride_);
    });
  }

  // A[0:begin, 0:begin] -= R[0:begin, tile] R[0:begin, tile]^T above the diagonal.
  void update_rest(std::int64_t begin, std::int64_t end) {
    const std::int64_t tiles = tile_count(begin);
    std::vector<std::pair<std::int64_t, std::int64_t>> pairs;
    for (std::int64_t i = 0; i < tiles; ++i) {
      for (std::int64_t j = i; j < tiles; ++j) pairs.emplace_back(i * kTile, j * kTile);
    }
    const auto depth = static_cast<int>(end - begin);
    parallel_for(static_cast<std::int64_t>(pairs.size()), [&](std::int64_t index) {
      const auto [i, j] = pairs[static_cast<std::size_t>(index)];
      if (i == j) {
        cblas_ssyrk(CblasRowMajor, CblasUpper, CblasNoTrans, height(i, begin), depth, -1.0F,
                    at(i, begin), stride_, 1.0F, at(i, i), stride_);
      } else {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, height(i, begin), height(j, begin),
                    depth, -1.0F, at(i, begin), stride_, at(j, begin), stride_, 1.0F, at(i, j),
                    stride_);
      }
    });
  }

 private:
  float* at(std::int64_t row, std::int64_t column) { return a_ + row * stride_ + column; }
  static std::int64_t tile_count(std::int64_t size) { return (size + kTile - 1) / kTile; }
  static int height(std::int64_t row, std::int64_t end) {
    return static_cast<int>(std::min(kTile, end - row));
  }

  float* a_;
  int stride_;
};

}  // namespace

bool factor_upper(Matrix& matrix) {
  TiledFactor factor(matrix);
  std::int64_t end = matrix.rows();
  while (end > 0) {
    const std::int64_t begin = (end - 1) / kTile * kTile;
    if (!factor.factor_diagonal(begin, end)) return false;
    factor.solve_column(begin, end);
    factor.update_rest(begin, end);
    end = begin;
  }
  return true;
}

}  // namespace terse
