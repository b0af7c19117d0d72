// How the inputs of a linear have moved since the weights before it were changed.
#pragma once

#include <cstdint>

#include "terse/core/tensor.h"

namespace terse {

/// sum_t (y_t - x_t) x_t^T [columns, columns] over the inputs x_t of a linear and what it read in
/// their place before, y_t. With the second moments of x it is the cross moments of both, but small
/// where they are alike, and zero where they are the same.
///
/// In float32, in tiles that one thread computes each: the bytes do not depend on the number of
/// threads. They do depend on how inputs are split into calls.
class InputShift {
 public:
  /// Of inputs of `columns` values, none seen yet.
  explicit InputShift(std::int64_t columns) : sums_(Matrix::Zero(columns, columns)) {}

  /// Adds inputs [tokens, columns] and what was read in their place, of the same shape. Errors:
  /// failed when the shapes differ.
  void add(ConstMatrixRef inputs, ConstMatrixRef before);

  const Matrix& sums() const { return sums_; }

 private:
  Matrix sums_;
};

}  // namespace terse
