#include "terse/formats/quantized_matrix.h"

#include "terse/core/threads.h"

namespace terse {

void QuantizedMatrix::read_codes() {
  if (!in_file()) return;
  codes.resize(static_cast<std::size_t>(rows * columns));
  parallel_for(rows, [&](std::int64_t r) { stored.row(r, codes.data() + r * columns); });
  stored = {};
}

Matrix QuantizedMatrix::dense() const {
  Matrix weight(rows, columns);
  parallel_for(rows, [&](std::int64_t r) { dense_row(r, weight.row(r).data()); });
  return weight;
}

void QuantizedMatrix::dense_row(std::int64_t row, float* out) const {
  const std::int64_t scale_row = scheme.strategy == QuantizationStrategy::tensor ? 0 : row;
  thread_local std::vector<std::uint8_t> buffer;
  const std::uint8_t* row_codes;
  if (!in_file()) {
    row_codes = codes.data() + row * columns;
  } else {
    buffer.resize(static_cast<std::size_t>(columns));
    stored.row(row, buffer.data());
    row_codes = buffer.data();
  }
  const std::uint8_t* row_zeros = zeros.data() + scale_row * scales.cols();
  for (std::int64_t c = 0; c < columns; ++c) {
    const std::int64_t g = group_of(c);
    out[c] = scales(scale_row, g) * static_cast<float>(row_codes[c] - row_zeros[g]);
  }
}

}  // namespace terse
