// The feedback loop of feedback.h: a strip of rows stays in registers while errors are summed.
#pragma once

#include "terse/kernels/simd.inc.h"

namespace terse::kernels {
namespace {

constexpr int kStripVectors = 4;
constexpr int kStripLanes = kStripVectors * kLanes;
static_assert(kFeedbackLanes % kStripLanes == 0);

using Codes = std::uint8_t __attribute__((vector_size(kLanes)));

/// The code of the grid point nearest to x, as clamp(round(x / scale) + zero, 0, top): the bounds
/// are integers, so clamping may come before rounding. A comparison with NaN is false, which
/// leaves the lower bound.
inline Floats nearest_code(Floats x, Floats scale, Floats zero, Floats top) {
  const Floats magic = splat(12582912.0F);  // 1.5 * 2^23: the last bit of a sum is one
  Floats y = x / scale;
  y = y > -zero ? y : -zero;
  y = y < top - zero ? y : top - zero;
  return ((y + magic) - magic) + zero;
}

void quantize_step(const FeedbackBlock& block, std::int64_t k, std::int64_t lane) {
  const std::int64_t at = k * block.lanes + lane;
  const float* factors = block.factors + k * block.steps;
  Floats sums[kStripVectors];
  TERSE_UNROLL for (int v = 0; v < kStripVectors; ++v) {
    sums[v] = load(block.running + at + v * kLanes);
  }
  for (std::int64_t i = 0; i < k; ++i) {
    const Floats factor = splat(factors[i]);
    const float* errors = block.errors + i * block.lanes + lane;
    TERSE_UNROLL for (int v = 0; v < kStripVectors; ++v) {
      sums[v] = fma(factor, load(errors + v * kLanes), sums[v]);
    }
  }
  const Floats top = splat(block.top);
  TERSE_UNROLL for (int v = 0; v < kStripVectors; ++v) {
    const Floats scale = load(block.scales[k] + lane + v * kLanes);
    const Floats zero = load(block.zeros[k] + lane + v * kLanes);
    const Floats code = nearest_code(sums[v], scale, zero, top);
    float* errors = block.errors + at + v * kLanes;
    store(errors, load(errors) - scale * (code - zero));
    const Codes narrow = __builtin_convertvector(__builtin_convertvector(code, Ints), Codes);
    __builtin_memcpy(block.codes + at + v * kLanes, &narrow, sizeof narrow);
  }
}

void quantize_with_feedback(const FeedbackBlock& block) {
  for (std::int64_t lane = 0; lane < block.lanes; lane += kStripLanes) {
    for (std::int64_t k = 0; k < block.steps; ++k) quantize_step(block, k, lane);
  }
}

}  // namespace
}  // namespace terse::kernels
