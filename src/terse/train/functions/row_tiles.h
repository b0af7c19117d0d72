// Rows on all threads, in tiles that do not depend on the number of threads.
#pragma once

#include "terse/train/torch.h"

#include <cstdint>

#include "terse/core/threads.h"
#include "terse/train/tensors.h"

namespace terse::train {

inline constexpr std::int64_t kRowTile = 64;

/// Calls body(row) for every row.
template <class Body>
void for_each_row(std::int64_t rows, const Body& body) {
  parallel_tiles(rows, kRowTile, [&](std::int64_t first, std::int64_t count) {
    for (std::int64_t row = first; row < first + count; ++row) body(row);
  });
}

/// Calls body(row, sum) for every row, where `sum` [size] belongs to the row's tile; returns the
/// sums of all tiles added up in their order, [size].
template <class Body>
torch::Tensor sum_over_rows(std::int64_t rows, std::int64_t size, const Body& body) {
  const torch::Tensor sums = torch::zeros({(rows + kRowTile - 1) / kRowTile, size});
  float* data = sums.data_ptr<float>();
  parallel_tiles(rows, kRowTile, [&](std::int64_t first, std::int64_t count) {
    float* sum = data + first / kRowTile * size;
    for (std::int64_t row = first; row < first + count; ++row) body(row, sum);
  });
  return sums.sum(0);
}

/// The sums of the columns of values [rows, size].
inline torch::Tensor column_sums(const torch::Tensor& values) {
  const torch::Tensor rows = values.contiguous();
  if (!fusible(rows)) return rows.sum(0);
  const std::int64_t size = rows.size(1);
  return sum_over_rows(rows.size(0), size,
                       [size, data = rows.data_ptr<float>()](std::int64_t row, float* sum) {
                         for (std::int64_t c = 0; c < size; ++c) sum[c] += data[row * size + c];
                       });
}

}  // namespace terse::train
