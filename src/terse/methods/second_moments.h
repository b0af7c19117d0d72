// Second moments of a linear's inputs: the Hessian of its squared output error.
#pragma once

#include <cstdint>

#include "terse/core/tensor.h"

namespace terse {

/// H = 2/n sum_t x_t x_t^T over n inputs x_t (GPTQ, Frantar et al. 2023, section 3: the Hessian of
/// ||W X - Q X||^2 for one row, as a mean over inputs).
///
/// Sums are held in float32 and only above the diagonal: a rank-k update, half the work of the
/// product. Every tile of the sum is computed by one thread, so the bytes do not depend on the
/// number of threads. They do depend on how inputs are split into calls, as sums of floats do:
/// callers that want the same bytes pass the same pieces.
class SecondMoments {
 public:
  /// Moments of inputs of `columns` values, none seen yet.
  explicit SecondMoments(std::int64_t columns);

  /// Adds inputs [tokens, columns]. Errors: failed when the width differs, or when a value is not
  /// finite or so large that its square is not; the caller knows which layer and adds its name.
  void add(ConstMatrixRef inputs);

  /// The moments of A x_t, for A [r, columns]: A S A^T of the sums S.
  SecondMoments through(const Matrix& a) const;

  std::int64_t columns() const { return sums_.rows(); }
  std::int64_t tokens() const { return tokens_; }

  /// H[i, j].
  float at(std::int64_t i, std::int64_t j) const {
    return normalisation() * (i <= j ? sums_(i, j) : sums_(j, i));
  }

  /// H whole: symmetric [columns, columns].
  Matrix matrix() const;

  /// sum_t x_t x_t^T; only the elements on and above the diagonal are valid.
  const Matrix& upper_sums() const { return sums_; }

  /// What turns sums into H: 2/n, and 0 when nothing was seen.
  float normalisation() const {
    return tokens_ == 0 ? 0.0F : static_cast<float>(2.0 / static_cast<double>(tokens_));
  }

 private:
  Matrix sums_;
  std::int64_t tokens_ = 0;
};

}  // namespace terse
