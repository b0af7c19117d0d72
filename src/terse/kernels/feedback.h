// The inner loop of GPTQ: a few columns quantised one after the other, for many rows at once.
#pragma once

#include <cstdint>

namespace terse::kernels {

/// Rows come in multiples of this.
inline constexpr std::int64_t kFeedbackLanes = 64;

/// Consecutive columns ("steps") of `lanes` rows; step k of row r is at [k * lanes + r].
struct FeedbackBlock {
  std::int64_t steps;
  std::int64_t lanes;          // a multiple of kFeedbackLanes
  const float* factors;        // U[i, k] at [k * steps + i], i < k
  const float* const* scales;  // of step k: [lanes], positive
  const float* const* zeros;   // of step k: [lanes], integers in [0, top]
  float top;                   // the largest code
  const float* running;        // weights with the errors of earlier blocks fed back
  float* errors;               // in: the weights; out: the weights minus what they became
  std::uint8_t* codes;         // out
};

/// For k in order:
///   w' = running_k + sum_{i<k} errors_i U[i, k]
///   code_k = clamp(round(w' / scale) + zero, 0, top), ties to even
///   errors_k = errors_k - scale * (code_k - zero)
/// A w' that is not a number gets code 0. A row does not depend on the others. Single-threaded.
void quantize_with_feedback(const FeedbackBlock& block);

}  // namespace terse::kernels
