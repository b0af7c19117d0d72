// Random weights and correlated inputs for tests of methods.
#pragma once

#include <cstdint>

#include "terse/core/random.h"
#include "terse/core/tensor.h"
#include "terse/methods/input_statistics.h"

namespace terse::testing {

inline Matrix random_matrix(std::int64_t rows, std::int64_t columns, std::uint64_t seed,
                            double deviation = 1.0) {
  Random random(seed);
  Matrix matrix(rows, columns);
  for (std::int64_t i = 0; i < matrix.size(); ++i) {
    matrix.data()[i] = static_cast<float>(deviation * random.normal());
  }
  return matrix;
}

/// Inputs [tokens, columns] whose neighbouring columns are correlated and whose sizes differ.
inline Matrix correlated_inputs(std::int64_t tokens, std::int64_t columns, std::uint64_t seed) {
  Matrix inputs = random_matrix(tokens, columns, seed);
  Random random(seed + 1);
  for (std::int64_t c = 1; c < columns; ++c) inputs.col(c) += 0.9F * inputs.col(c - 1);
  for (std::int64_t c = 0; c < columns; ++c) {
    inputs.col(c) *= static_cast<float>(0.2 + 2.0 * random.uniform());
  }
  return inputs;
}

inline SecondMoments moments_of(const Matrix& inputs) {
  SecondMoments moments(inputs.cols());
  moments.add(inputs);
  return moments;
}

inline InputStatistics statistics_of(const Matrix& inputs) {
  InputStatistics statistics(inputs.cols(), {.ranges = true, .second_moments = true});
  statistics.add(inputs);
  return statistics;
}

}  // namespace terse::testing
