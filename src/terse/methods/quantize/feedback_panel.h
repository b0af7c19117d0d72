// The inner loop of linear feedback: a few columns, one after the other, for many rows at once.
#pragma once

#include <cstdint>

namespace terse {

/// Rows come in multiples of this.
inline constexpr std::int64_t kPanelLanes = 64;

/// Steps of a block for `lanes` rows; step k of row r is at [k * lanes + r].
struct FeedbackPanel {
  std::int64_t steps;
  std::int64_t lanes;          ///< A multiple of kPanelLanes.
  const float* upper;          ///< U[i, k] at [k * steps + i], i < k.
  const float* const* scales;  ///< Of step k: [lanes].
  const float* const* zeros;   ///< Of step k: [lanes].
  float top;                   ///< The largest code.
  const float* running;        ///< Weights with the errors of earlier blocks fed back.
  float* errors;               ///< In: the weights. Out: weights minus what they became.
  std::uint8_t* codes;         ///< Out.
};

/// For k in order: w' = running_k + sum_{i<k} errors_i U[i, k]; code_k = that of the nearest grid
/// point q; errors_k -= q.
void quantize_panel(const FeedbackPanel& panel);

}  // namespace terse
