// Random quantised weights, and tensors by name.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "terse/core/error.h"
#include "terse/core/random.h"
#include "terse/formats/quantized_tensors.h"

namespace terse::test {

inline QuantizedMatrix random_matrix(const QuantizationScheme& scheme, std::int64_t rows,
                                     std::int64_t columns, std::uint64_t seed) {
  Random random(seed);
  const auto code = [&] {
    return static_cast<std::uint8_t>(random.below(static_cast<std::uint64_t>(scheme.levels())));
  };
  QuantizedMatrix matrix;
  matrix.scheme = scheme;
  matrix.rows = rows;
  matrix.columns = columns;
  matrix.codes.resize(static_cast<std::size_t>(rows * columns));
  std::ranges::generate(matrix.codes, code);
  const bool is_tensor = scheme.strategy == QuantizationStrategy::tensor;
  matrix.scales.resize(is_tensor ? 1 : rows, scheme.groups(columns));
  for (float& scale : matrix.scales.reshaped()) {
    scale = round_to_dtype(scheme.scale_dtype, static_cast<float>(random.normal()));
  }
  matrix.zeros.assign(static_cast<std::size_t>(matrix.scales.size()),
                      static_cast<std::uint8_t>(scheme.middle()));
  if (!scheme.symmetric) std::ranges::generate(matrix.zeros, code);
  if (scheme.actorder == ActivationOrdering::group) {
    const auto groups = static_cast<std::uint64_t>(scheme.groups(columns));
    matrix.g_idx.resize(static_cast<std::size_t>(columns));
    std::ranges::generate(matrix.g_idx,
                          [&] { return static_cast<std::int32_t>(random.below(groups)); });
  }
  if (scheme.activations && !scheme.activations->dynamic()) {
    matrix.input_scale = 0.01F + static_cast<float>(random.uniform());
    if (!scheme.activations->symmetric) {
      const int half = 1 << (scheme.activations->bits - 1);
      matrix.input_zero = static_cast<float>(random.below(2 * static_cast<std::uint64_t>(half))) -
                          static_cast<float>(half);
    }
  }
  return matrix;
}

/// The same with about this share of the codes at the zero points of their groups; rows 0 and 1 are
/// all and none at it.
inline QuantizedMatrix prune_codes(QuantizedMatrix matrix, double share, std::uint64_t seed) {
  Random random(seed);
  for (std::int64_t r = 0; r < matrix.rows; ++r) {
    for (std::int64_t c = 0; c < matrix.columns; ++c) {
      const std::int64_t row = matrix.scales.rows() == 1 ? 0 : r;
      const auto at = static_cast<std::size_t>(row * matrix.scales.cols() + matrix.group_of(c));
      std::uint8_t& code = matrix.codes[static_cast<std::size_t>(r * matrix.columns + c)];
      const bool pruned = r == 0 || (r != 1 && random.uniform() < share);
      if (pruned) {
        code = matrix.zeros[at];
      } else if (code == matrix.zeros[at]) {
        code = static_cast<std::uint8_t>(code == 0 ? 1 : code - 1);
      }
    }
  }
  return matrix;
}

/// Of each four neighbouring codes of a row the last two, counted from a place that differs from
/// row to row, are at the zero point.
inline QuantizedMatrix prune_two_of_four(QuantizedMatrix matrix) {
  for (std::int64_t r = 0; r < matrix.rows; ++r) {
    for (std::int64_t c = 0; c < matrix.columns; ++c) {
      if ((c + r) % 4 < 2) continue;
      const std::int64_t row = matrix.scales.rows() == 1 ? 0 : r;
      matrix.codes[static_cast<std::size_t>(r * matrix.columns + c)] =
          matrix.zeros[static_cast<std::size_t>(row * matrix.scales.cols() + matrix.group_of(c))];
    }
  }
  return matrix;
}

inline std::map<std::string, Tensor> by_name(const std::vector<NamedTensor>& tensors) {
  std::map<std::string, Tensor> map;
  for (const NamedTensor& tensor : tensors) map[tensor.name] = tensor.tensor;
  return map;
}

inline TensorLookup lookup_in(const std::map<std::string, Tensor>& tensors) {
  return [&tensors](const std::string& name) {
    const auto found = tensors.find(name);
    if (found == tensors.end()) throw bad_input("no tensor {}", name);
    return found->second;
  };
}

inline void expect_equal(const QuantizedMatrix& a, const QuantizedMatrix& b) {
  EXPECT_EQ(a.scheme, b.scheme);
  EXPECT_EQ(a.rows, b.rows);
  EXPECT_EQ(a.columns, b.columns);
  EXPECT_EQ(a.codes, b.codes);
  EXPECT_EQ(a.scales, b.scales);
  EXPECT_EQ(a.zeros, b.zeros);
  EXPECT_EQ(a.g_idx, b.g_idx);
  EXPECT_EQ(a.input_scale, b.input_scale);
  EXPECT_EQ(a.input_zero, b.input_zero);
}

}  // namespace terse::test
