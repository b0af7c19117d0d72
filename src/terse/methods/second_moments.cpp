#include "terse/methods/second_moments.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>

#include "terse/core/error.h"
#include "terse/core/matrix_product.h"
#include "terse/core/threads.h"

namespace terse {
namespace {

// Side of a tile of the sum: large, as BLAS is faster then, yet several tiles for several threads.
std::int64_t tile_size(std::int64_t columns) {
  return std::clamp<std::int64_t>((columns / 4 + 63) / 64 * 64, 64, 512);
}

// Adds X_i^T X_j to the tile of rows i and columns j.
void add_tile(const ConstMatrixRef& inputs, std::int64_t i, std::int64_t j, Matrix& sums) {
  const auto stride = static_cast<int>(inputs.outerStride());
  const auto tokens = static_cast<int>(inputs.rows());
  const auto n = static_cast<int>(sums.cols());
  const std::int64_t tile = tile_size(n);
  const auto height = static_cast<int>(std::min(tile, n - i));
  const auto width = static_cast<int>(std::min(tile, n - j));
  float* out = sums.data() + i * n + j;
  if (i == j) {
    cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, height, tokens, 1.0F, inputs.data() + i,
                stride, 1.0F, out, n);
  } else {
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, height, width, tokens, 1.0F,
                inputs.data() + i, stride, inputs.data() + j, stride, 1.0F, out, n);
  }
}

}  // namespace

SecondMoments::SecondMoments(std::int64_t columns) : sums_(Matrix::Zero(columns, columns)) {}

void SecondMoments::add(ConstMatrixRef inputs) {
  if (inputs.cols() != columns()) {
    throw failure("inputs of {} values found where {} are expected", inputs.cols(), columns());
  }
  if (inputs.rows() == 0) return;
  const std::int64_t tile = tile_size(columns());
  const std::int64_t tiles = (columns() + tile - 1) / tile;
  parallel_for(tiles * tiles, [&](std::int64_t index) {
    const std::int64_t i = index / tiles;
    const std::int64_t j = index % tiles;
    if (i <= j) add_tile(inputs, i * tile, j * tile, sums_);
  });
  tokens_ += inputs.rows();
  // A value that is not finite, or whose square is not, leaves its mark on the diagonal.
  for (std::int64_t i = 0; i < columns(); ++i) {
    if (!std::isfinite(sums_(i, i))) {
      throw failure("input {} of the linear is not finite, or too large to square", i);
    }
  }
}

SecondMoments SecondMoments::through(const Matrix& a) const {
  Matrix whole(columns(), columns());
  parallel_for(columns(), [&](std::int64_t i) {
    for (std::int64_t j = 0; j < columns(); ++j) whole(i, j) = i <= j ? sums_(i, j) : sums_(j, i);
  });
  const Matrix half = product(a, whole);
  SecondMoments mapped(a.rows());
  multiply_upper<float>(mapped.sums_.data(), {half.data(), half.rows(), half.cols()},
                        {a.data(), a.rows(), a.cols(), true});
  mapped.tokens_ = tokens_;
  return mapped;
}

Matrix SecondMoments::matrix() const {
  Matrix moments(columns(), columns());
  parallel_for(columns(), [&](std::int64_t i) {
    for (std::int64_t j = 0; j < columns(); ++j) moments(i, j) = at(i, j);
  });
  return moments;
}

}  // namespace terse
