#include "terse/model/key_value_cache.h"

#include <algorithm>

#include "terse/model/rotary.h"

namespace terse {
using kernels::kKeyPanel;

KeyValueCache::KeyValueCache(const Architecture& architecture, std::int64_t capacity,
                             bool keep_blocks)
    : head_dim_(architecture.head_dim),
      capacity_(capacity),
      padded_((capacity + kKeyPanel - 1) / kKeyPanel * kKeyPanel) {
  if (architecture.rotary) frequencies_ = rotary_frequencies(architecture.rope, capacity);
  std::int64_t all = 0;
  for (std::int64_t block = 0; block < architecture.num_hidden_layers; ++block) {
    const std::int64_t count = architecture.shape(block).num_key_value_heads;
    heads_.push_back({keep_blocks ? all : 0, count});
    all = keep_blocks ? all + count : std::max(all, count);
  }
  const auto size = static_cast<std::size_t>(all * padded_ * head_dim_);
  keys_.resize(size);
  values_.resize(size);
}

std::size_t KeyValueCache::offset(std::int64_t block, std::int64_t key_value_head) const {
  const std::int64_t head = heads_[static_cast<std::size_t>(block)].first + key_value_head;
  return static_cast<std::size_t>(head * padded_ * head_dim_);
}

void KeyValueCache::store(std::int64_t block, std::int64_t position, const float* key,
                          const float* value) {
  for (std::int64_t head = 0; head < heads_[static_cast<std::size_t>(block)].count; ++head) {
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
