// Random matrices, the same in every run.
#pragma once

#include <cstdint>
#include <cstdlib>

#include "terse/core/random.h"
#include "terse/core/tensor.h"

namespace terse::test {

/// Normally distributed.
inline Matrix random_values(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  Random random(seed);
  Matrix values(rows, columns);
  for (float& value : values.reshaped()) value = static_cast<float>(random.normal());
  return values;
}

/// Uniform from -1 to 1.
inline Matrix uniform_values(std::int64_t rows, std::int64_t columns, unsigned seed) {
  std::srand(seed);
  return Matrix::Random(rows, columns);
}

}  // namespace terse::test
