#include "terse/formats/quantized_matrix.h"

#include "terse/core/threads.h"

namespace terse {

Matrix QuantizedMatrix::dense() const {
  Matrix weight(rows, columns);
  std::vector<std::int64_t> groups(static_cast<std::size_t>(columns));
  for (std::int64_t c = 0; c < columns; ++c) groups[static_cast<std::size_t>(c)] = group_of(c);
  parallel_for(rows, [&](std::int64_t r) {
    const std::int64_t scale_row = scheme.strategy == QuantizationStrategy::tensor ? 0 : r;
    const std::uint8_t* row_codes = codes.data() + r * columns;
    const std::uint8_t* row_zeros = zeros.data() + scale_row * scales.cols();
    for (std::int64_t c = 0; c < columns; ++c) {
      const std::int64_t g = groups[static_cast<std::size_t>(c)];
      weight(r, c) = scales(scale_row, g) * static_cast<float>(row_codes[c] - row_zeros[g]);
    }
  });
  return weight;
}

}  // namespace terse
