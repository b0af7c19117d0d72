// Rounding to integers in loops that compilers vectorise.
#pragma once

namespace terse {

/// Nearest integer, ties to even, for |x| < 2^22; NaN stays NaN. Plain arithmetic.
inline float round_half_even(float x) {
  constexpr float kMagic = 12582912.0F;  // 1.5 * 2^23: the last bit of the sum is one
  return (x + kMagic) - kMagic;
}

}  // namespace terse
