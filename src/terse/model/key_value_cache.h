// Keys and values of the positions that a sequence has seen.
#pragma once

#include <cstdint>
#include <vector>

#include "terse/kernels/attention.h"
#include "terse/model/architecture.h"

namespace terse {

/// Float32 keys and values of one sequence, in the layout of the attention kernel.
class KeyValueCache {
 public:
  /// Room for `capacity` positions. With `keep_blocks` every block has its own part, so that the
  /// sequence can be continued; without, one part serves all blocks in turn, for sequences that
  /// are computed at once.
  KeyValueCache(const Architecture& architecture, std::int64_t capacity, bool keep_blocks = true);

  std::int64_t capacity() const { return capacity_; }

  /// Positions held; the next token has this position.
  std::int64_t length() const { return length_; }
  void set_length(std::int64_t length) { length_ = length; }

  /// Stores key and value [the block's num_key_value_heads * head_dim] of one position.
  void store(std::int64_t block, std::int64_t position, const float* key, const float* value);

  kernels::HeadCache head(std::int64_t block, std::int64_t key_value_head) const;

  /// Frequencies of the rotary positions of this sequence.
  const std::vector<float>& frequencies() const { return frequencies_; }

 private:
  std::size_t offset(std::int64_t block, std::int64_t key_value_head) const;

  // Of a block in the cache.
  struct Heads {
    std::int64_t first;
    std::int64_t count;
  };

  std::vector<Heads> heads_;  // by block
  std::int64_t head_dim_;
  std::int64_t capacity_;
  std::int64_t padded_;  // capacity up to a whole panel of keys
  std::int64_t length_ = 0;
  std::vector<float> frequencies_;
  std::vector<float> keys_;
  std::vector<float> values_;
};

}  // namespace terse
