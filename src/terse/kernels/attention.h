// Causal attention of a few query rows of one head over cached keys and values.
#pragma once

#include <cstdint>

namespace terse::kernels {

/// Keys of one key-value head, packed by 32 positions: key p, component i is at
/// keys[((p / 32) * head_dim + i) * 32 + p % 32]. Values lie as [position, head_dim].
struct HeadCache {
  const float* keys;
  const float* values;
};

/// Positions whose keys lie together.
inline constexpr std::int64_t kKeyPanel = 32;

/// Queries that one call may hold.
inline constexpr std::int64_t kAttentionRows = 16;

/// Floats of scratch space that a call needs for `positions` cached positions.
std::int64_t attention_scratch(std::int64_t positions);

/// out[r] = softmax(scale * q[r] K^T) V over the positions [first, last] of row r, where
/// last = position + r and first = max(0, last - window + 1), or 0 without a window (0).
/// q and out: [rows, head_dim] with the given row strides; rows at most kAttentionRows.
/// A row's result does not depend on the other rows. Single-threaded.
void attend(const float* q, std::int64_t q_stride, std::int64_t rows, std::int64_t position,
            const HeadCache& cache, std::int64_t head_dim, float scale, std::int64_t window,
            float* scratch, float* out, std::int64_t out_stride);

}  // namespace terse::kernels
