// Keys and values of the positions that a sequence has seen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "terse/kernels/aligned.h"
#include "terse/kernels/attention.h"
#include "terse/model/architecture.h"

namespace terse {

using kernels::CacheType;

struct CacheOptions {
  CacheType type = CacheType::f32;  ///< f32 keeps every bit.
};

/// Keys and values of one sequence, in panels of 32 positions (kernels/cache_panel.h) that are
/// allocated when they are needed.
///
/// Types of integers hold recent positions in float16 (KIVI's window, Liu et al., arXiv 2402.02750,
/// section 3.3): a panel becomes integers when a position after it is computed. So the row of a
/// position reads its own panel in float16 and all before it as integers, whatever rows are
/// computed with it. Until a pass is done its own panels are held in float16 too.
class KeyValueCache {
 public:
  /// Room for `capacity` positions. With `keep_blocks` every block has its own part, so that the
  /// sequence can be continued; without, one part serves all blocks in turn, for sequences that
  /// are computed at once.
  KeyValueCache(const Architecture& architecture, std::int64_t capacity, bool keep_blocks = true,
                const CacheOptions& options = {});
  KeyValueCache(KeyValueCache&&) = default;  // no copies: panel_places_ points into panels_

  std::int64_t capacity() const { return capacity_; }

  /// Positions held; the next token has this position.
  std::int64_t length() const { return length_; }

  /// After a pass: the positions that it computed are held. A smaller length forgets positions; if
  /// that ends within a panel of integers, the rest of the panel is forgotten too.
  void set_length(std::int64_t length);

  /// Before the positions [length, length + rows) of a block are stored.
  void make_room(std::int64_t block, std::int64_t rows);

  /// Stores key and value [the block's num_key_value_heads * head_dim] of one position. Threads may
  /// store different positions at once.
  void store(std::int64_t block, std::int64_t position, const float* key, const float* value);

  /// After all rows of a pass are stored: makes integers of the panels before the last. On all
  /// threads.
  void quantize(std::int64_t block);

  /// What rows see whose positions lie in one panel with `position`.
  kernels::HeadCache head(std::int64_t block, std::int64_t key_value_head, std::int64_t position);

  /// Memory that keys and values take now.
  std::size_t bytes() const;

  /// Frequencies of the rotary positions of this sequence.
  const std::vector<float>& frequencies() const { return frequencies_; }

 private:
  // Of a block in the cache.
  struct Heads {
    std::int64_t first;
    std::int64_t count;
  };

  bool holds_integers() const { return format_.type != float_format_.type; }
  const Heads& heads(std::int64_t block) const { return heads_[static_cast<std::size_t>(block)]; }
  // Where a panel of a head lies: as it is kept, in float16, as it was stored.
  std::byte* held(std::int64_t block, std::int64_t head, std::int64_t panel);
  std::byte* in_float16(std::int64_t block, std::int64_t head, std::int64_t panel);
  std::byte* floats(std::int64_t block, std::int64_t head, std::int64_t panel);

  std::vector<Heads> heads_;  // by block
  std::int64_t all_heads_ = 0;
  std::int64_t capacity_;
  std::int64_t length_ = 0;
  std::vector<float> frequencies_;
  kernels::CachePanelFormat format_;                       // of what is held
  kernels::CachePanelFormat float_format_;                 // of recent positions
  std::vector<kernels::AlignedVector<std::byte>> panels_;  // panel p of all heads
  std::vector<const std::byte*> panel_places_;

  // With integers: the last panel in float16, and those before it that the rows of a pass see so.
  std::int64_t recent_ = -1;        // the panel that is held in float16 between passes
  std::int64_t first_passing_ = 0;  // of the pass: panels [first_passing_, last_] are in float16
  std::int64_t last_ = 0;
  kernels::AlignedVector<std::byte> recent_panel_;    // of all heads
  kernels::AlignedVector<std::byte> passing_panels_;  // [panel, head of the block]
};

/// Bytes of keys and values of a block that a row reads which sees `positions`; of its own panel it
/// sees half on average.
double cache_bytes_read(const Architecture& architecture, std::int64_t block, double positions,
                        const CacheOptions& options);

}  // namespace terse
