// The inner loop of GPTQ and SparseGPT: a few columns quantised or pruned one after the other, for
// many rows at once.
#pragma once

#include <cstdint>

namespace terse::kernels {

/// Rows come in multiples of this.
inline constexpr std::int64_t kFeedbackLanes = 64;

/// The largest m of an n:m pattern.
inline constexpr std::int64_t kLargestPattern = 32;

/// Consecutive columns ("steps") of `lanes` rows; step k of row r is at [k * lanes + r].
struct FeedbackBlock {
  std::int64_t steps;
  std::int64_t lanes;              // a multiple of kFeedbackLanes
  const float* factors;            // U[i, k] at [k * steps + i], i < k
  const float* const* scales;      // of step k: [lanes], positive; null: weights stay real numbers
  const float* const* zeros;       // of step k: [lanes], integers in [0, top]
  float top;                       // the largest code
  float* running;                  // in: weights with the errors of earlier blocks fed back;
                                   // out, without grids: what the weights became
  float* errors;                   // in: the weights; out: the weights minus what they became
  std::uint8_t* codes;             // out, with grids
  std::uint32_t* mask = nullptr;   // ~0 where a weight becomes 0, else 0; null: nowhere
  std::int64_t pattern_zeros = 0;  // n of an n:m pattern: then `mask` grows by the zeros chosen
  std::int64_t pattern_size = 0;   // m, which divides `steps`; at most kLargestPattern
  const float* roots = nullptr;    // of the pattern's scores: [steps], positive
};

/// For k in order:
///   w' = running_k + sum_{i<k} errors_i U[i, k]
///   q_k = 0 where the mask says so, else with grids the point scale * (code_k - zero) where
///   code_k = clamp(round(w' / scale) + zero, 0, top), ties to even, else w'
///   errors_k = errors_k - q_k
/// A w' that is not a number gets code 0, a masked weight the code of its zero point.
///
/// With a pattern, n zeros are chosen when the first column of every m is reached: the weights of
/// the m columns G that make up best for all errors so far are v = w_G + x with
/// x U_GG = w'_G - w_G, and those with the smallest |v| * roots become 0, masked ones first, among
/// equals the earlier.
///
/// A row does not depend on the others. Single-threaded.
void quantize_with_feedback(const FeedbackBlock& block);

}  // namespace terse::kernels
