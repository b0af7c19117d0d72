#include "terse/train/functions/matrix_product.h"

#include <cblas.h>

#include <algorithm>

#include "terse/core/threads.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

// Rows and columns of a product.
struct Tile {
  std::int64_t row, rows;
  std::int64_t column, columns;
};

CBLAS_TRANSPOSE order(const Factor& factor) {
  return factor.transposed ? CblasTrans : CblasNoTrans;
}

// `out` is where the tile begins; its rows are `stride` apart.
void multiply_tile(float* out, std::int64_t stride, const Factor& a, const Factor& b,
                   const Tile& tile, bool add) {
  const std::int64_t a_stride = a.matrix.size(1);
  const std::int64_t b_stride = b.matrix.size(1);
  cblas_sgemm(CblasRowMajor, order(a), order(b), static_cast<int>(tile.rows),
              static_cast<int>(tile.columns), static_cast<int>(a.columns()), 1.0F,
              a.matrix.data_ptr<float>() + tile.row * (a.transposed ? 1 : a_stride),
              static_cast<int>(a_stride),
              b.matrix.data_ptr<float>() + tile.column * (b.transposed ? b_stride : 1),
              static_cast<int>(b_stride), add ? 1.0F : 0.0F, out, static_cast<int>(stride));
}

torch::Tensor as_libtorch_has_it(const Factor& factor) {
  return factor.transposed ? factor.matrix.t() : factor.matrix;
}

}  // namespace

void multiply_into(torch::Tensor out, const Factor& a, const Factor& b, bool add) {
  if (!fusible(out) || !fusible(a.matrix) || !fusible(b.matrix)) {
    out.addmm_(as_libtorch_has_it(a), as_libtorch_has_it(b), add ? 1 : 0);
    return;
  }
  const std::int64_t rows = a.rows();
  const std::int64_t columns = b.columns();
  const std::int64_t across = (columns + kProductTile - 1) / kProductTile;
  const std::int64_t down = (rows + kProductTile - 1) / kProductTile;
  float* data = out.data_ptr<float>();
  parallel_for(down * across, [&](std::int64_t index) {
    const std::int64_t row = index / across * kProductTile;
    const std::int64_t column = index % across * kProductTile;
    multiply_tile(
        data + row * columns + column, columns, a, b,
        {row, std::min(kProductTile, rows - row), column, std::min(kProductTile, columns - column)},
        add);
  });
}

torch::Tensor product(const Factor& a, const Factor& b) {
  torch::Tensor out = torch::empty({a.rows(), b.columns()}, a.matrix.options());
  multiply_into(out, a, b);
  return out;
}

void multiply_rows(float* out, const Factor& a, const Factor& b, std::int64_t first,
                   std::int64_t count) {
  multiply_tile(out, b.columns(), a, b, {first, count, 0, b.columns()}, false);
}

}  // namespace terse::train
