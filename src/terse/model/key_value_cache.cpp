#include "terse/model/key_value_cache.h"

#include <algorithm>

#include "terse/model/rotary.h"

namespace terse {
using kernels::kKeyPanel;

KeyValueCache::KeyValueCache(const Architecture& architecture, std::int64_t capacity,
                             bool keep_blocks)
    : heads_(architecture.num_key_value_heads),
      head_dim_(architecture.head_dim),
      capacity_(capacity),
      padded_((capacity + kKeyPanel - 1) / kKeyPanel * kKeyPanel),
      keep_blocks_(keep_blocks) {
  if (architecture.rotary) frequencies_ = rotary_frequencies(architecture.rope, capacity);
  const std::int64_t blocks = keep_blocks ? architecture.num_hidden_layers : 1;
  const auto size = static_cast<std::size_t>(blocks * heads_ * padded_ * head_dim_);
  keys_.resize(size);
  values_.resize(size);
}

std::size_t KeyValueCache::offset(std::int64_t block, std::int64_t key_value_head) const {
  const std::int64_t part = (keep_blocks_ ? block : 0) * heads_ + key_value_head;
  return static_cast<std::size_t>(part * padded_ * head_dim_);
}

void KeyValueCache::store(std::int64_t block, std::int64_t position, const float* key,
                          const float* value) {
  for (std::int64_t head = 0; head < heads_; ++head) {
    float* panel = keys_.data() + offset(block, head) +
                   position / kKeyPanel * kKeyPanel * head_dim_ + position % kKeyPanel;
    for (std::int64_t i = 0; i < head_dim_; ++i) panel[i * kKeyPanel] = key[head * head_dim_ + i];
    std::copy_n(value + head * head_dim_, head_dim_,
                values_.data() + offset(block, head) + position * head_dim_);
  }
}

kernels::HeadCache KeyValueCache::head(std::int64_t block, std::int64_t key_value_head) const {
  return {keys_.data() + offset(block, key_value_head),
          values_.data() + offset(block, key_value_head)};
}

}  // namespace terse
