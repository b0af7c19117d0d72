// Causal attention of a few query rows over the cached keys and values of one head.
#pragma once

#include <cstddef>
#include <cstdint>

#include "terse/kernels/cache_panel.h"

namespace terse::kernels {

/// One key-value head of a sequence as rows see it whose positions lie in one panel: that panel in
/// float32 or float16, and those before it as they are stored. Panel p of the head is at
/// panels[p] + offset.
struct HeadCache {
  const CachePanelFormat* format;
  const std::byte* const* panels;
  std::int64_t offset;
  const CachePanelFormat* own_format;
  const std::byte* own;
};

/// out = softmax(scale * q K^T) V, for each row and each of the query heads that share a key-value
/// head, over the positions [first, last] of the row: last = position + row, first =
/// max(0, last - window + 1), or 0 without a window (0).
struct Attention {
  const float* q;  ///< head h of row r at q + r * q_stride + h * head_dim
  std::int64_t q_stride;
  std::int64_t rows;      ///< their positions lie in one panel
  std::int64_t heads;     ///< rows * heads is at most kAttentionQueries, or rows is 1
  std::int64_t position;  ///< of the first row
  HeadCache cache;
  float scale;
  std::int64_t window;
  float* out;  ///< as q
  std::int64_t out_stride;
};

/// Queries, rows times heads, that one call may hold.
inline constexpr std::int64_t kAttentionQueries = 128;

/// Rows that are best computed together, where `heads` query heads share a key-value head: tiles of
/// so many positions, counted from 0, lie in one panel each.
std::int64_t attention_rows(std::int64_t heads);

/// Single-threaded. A row's result does not depend on the other rows. Scores are held for one panel
/// at a time: softmax by a running maximum and sum (FlashAttention, Dao et al., arXiv 2205.14135,
/// section 3.1).
void attend(const Attention& attention);

}  // namespace terse::kernels
