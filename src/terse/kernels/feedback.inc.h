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

inline Ints load_mask(const std::uint32_t* from) {
  Ints mask;
  __builtin_memcpy(&mask, from, sizeof mask);
  return mask;
}

/// sums += sum over i in [first, last) of errors_i U[i, k], one strip of rows.
inline void add_errors(const FeedbackBlock& block, std::int64_t first, std::int64_t last,
                       std::int64_t k, std::int64_t lane, Floats* sums) {
  const float* factors = block.factors + k * block.steps;
  for (std::int64_t i = first; i < last; ++i) {
    const Floats factor = splat(factors[i]);
    const float* errors = block.errors + i * block.lanes + lane;
    TERSE_UNROLL for (int v = 0; v < kStripVectors; ++v) {
      sums[v] = fma(factor, load(errors + v * kLanes), sums[v]);
    }
  }
}

/// Step k of a strip of rows; `running` has the errors of the steps before `first` already.
template <bool kGrids, bool kMasked>
void feedback_step(const FeedbackBlock& block, std::int64_t first, std::int64_t k,
                   std::int64_t lane) {
  const std::int64_t at = k * block.lanes + lane;
  Floats sums[kStripVectors];
  TERSE_UNROLL for (int v = 0; v < kStripVectors; ++v) {
    sums[v] = load(block.running + at + v * kLanes);
  }
  add_errors(block, first, k, k, lane, sums);
  const Floats top = splat(block.top);
  TERSE_UNROLL for (int v = 0; v < kStripVectors; ++v) {
    const std::int64_t here = at + v * kLanes;
    float* errors = block.errors + here;
    if constexpr (kGrids) {
      const Floats scale = load(block.scales[k] + lane + v * kLanes);
      const Floats zero = load(block.zeros[k] + lane + v * kLanes);
      Floats code = nearest_code(sums[v], scale, zero, top);
      if constexpr (kMasked) code = load_mask(block.mask + here) ? zero : code;
      store(errors, load(errors) - scale * (code - zero));
      const Codes narrow = __builtin_convertvector(__builtin_convertvector(code, Ints), Codes);
      __builtin_memcpy(block.codes + here, &narrow, sizeof narrow);
    } else {
      Floats value = sums[v];
      if constexpr (kMasked) value = load_mask(block.mask + here) ? Floats{} : value;
      store(errors, load(errors) - value);
      store(block.running + here, value);
    }
  }
}

/// The zeros of the pattern in the columns from k on, for one vector of rows; `running` has the
/// errors of all steps before k.
void choose_zeros(const FeedbackBlock& block, std::int64_t k, std::int64_t lane) {
  const std::int64_t size = block.pattern_size;
  Floats changes[kLargestPattern];
  Floats scores[kLargestPattern];
  for (std::int64_t j = 0; j < size; ++j) {
    const std::int64_t at = (k + j) * block.lanes + lane;
    const Floats weight = load(block.errors + at);
    const float* factors = block.factors + (k + j) * block.steps + k;
    changes[j] = load(block.running + at) - weight;
    for (std::int64_t i = 0; i < j; ++i)
      changes[j] = fma(splat(-factors[i]), changes[i], changes[j]);
    const Floats value = weight + changes[j];
    const Floats score = (value < 0 ? -value : value) * splat(block.roots[k + j]);
    scores[j] = load_mask(block.mask + at) ? splat(-1.0F) : score;
  }
  for (std::int64_t j = 0; j < size; ++j) {
    Ints rank{};  // minus the number of smaller scores: a comparison that holds is -1
    for (std::int64_t i = 0; i < j; ++i) rank += scores[i] <= scores[j];
    for (std::int64_t i = j + 1; i < size; ++i) rank += scores[i] < scores[j];
    std::uint32_t* mask = block.mask + (k + j) * block.lanes + lane;
    const Ints chosen = load_mask(mask) | (-rank < static_cast<std::int32_t>(block.pattern_zeros));
    __builtin_memcpy(mask, &chosen, sizeof chosen);
  }
}

void begin_pattern(const FeedbackBlock& block, std::int64_t k, std::int64_t lane) {
  for (std::int64_t j = k; j < k + block.pattern_size; ++j) {
    float* running = block.running + j * block.lanes + lane;
    Floats sums[kStripVectors];
    TERSE_UNROLL for (int v = 0; v < kStripVectors; ++v) sums[v] = load(running + v * kLanes);
    add_errors(block, 0, k, j, lane, sums);
    TERSE_UNROLL for (int v = 0; v < kStripVectors; ++v) store(running + v * kLanes, sums[v]);
  }
  for (int v = 0; v < kStripVectors; ++v) choose_zeros(block, k, lane + v * kLanes);
}

template <bool kGrids, bool kMasked>
void feedback_steps(const FeedbackBlock& block) {
  for (std::int64_t lane = 0; lane < block.lanes; lane += kStripLanes) {
    std::int64_t first = 0;
    for (std::int64_t k = 0; k < block.steps; ++k) {
      if (kMasked && block.pattern_size > 0 && k % block.pattern_size == 0) {
        begin_pattern(block, k, lane);
        first = k;
      }
      feedback_step<kGrids, kMasked>(block, first, k, lane);
    }
  }
}

void quantize_with_feedback(const FeedbackBlock& block) {
  if (block.scales != nullptr) {
    block.mask != nullptr ? feedback_steps<true, true>(block) : feedback_steps<true, false>(block);
  } else {
    block.mask != nullptr ? feedback_steps<false, true>(block)
                          : feedback_steps<false, false>(block);
  }
}

}  // namespace
}  // namespace terse::kernels
