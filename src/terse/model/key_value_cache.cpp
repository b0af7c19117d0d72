#include "terse/model/key_value_cache.h"

#include <algorithm>

#include "terse/core/threads.h"
#include "terse/model/rotary.h"

namespace terse {
namespace {

using kernels::kCachePanel;

CacheType float_type(CacheType type) {
  return type == CacheType::f32 ? CacheType::f32 : CacheType::f16;
}

double bytes_per_position(CacheType type, std::int64_t head_dim) {
  return static_cast<double>(kernels::cache_panel_format(type, head_dim).bytes) / kCachePanel;
}

}  // namespace

KeyValueCache::KeyValueCache(const Architecture& architecture, std::int64_t capacity,
                             bool keep_blocks, const CacheOptions& options)
    : capacity_(capacity),
      format_(kernels::cache_panel_format(options.type, architecture.head_dim)),
      float_format_(kernels::cache_panel_format(float_type(options.type), architecture.head_dim)) {
  if (architecture.rotary) frequencies_ = rotary_frequencies(architecture.rope, capacity);
  for (std::int64_t block = 0; block < architecture.num_hidden_layers; ++block) {
    const std::int64_t count = architecture.shape(block).num_key_value_heads;
    heads_.push_back({keep_blocks ? all_heads_ : 0, count});
    all_heads_ = keep_blocks ? all_heads_ + count : std::max(all_heads_, count);
  }
  if (holds_integers()) {
    recent_panel_.resize(static_cast<std::size_t>(all_heads_ * float_format_.bytes));
  }
}

void KeyValueCache::set_length(std::int64_t length) {
  passing_panels_ = {};
  if (holds_integers()) {
    const bool kept = recent_ >= 0 && length > recent_ * kCachePanel;
    if (length > length_) {
      recent_ = (length - 1) / kCachePanel;
    } else if (!kept) {
      recent_ = -1;
      length = length / kCachePanel * kCachePanel;
    }
  }
  length_ = length;
}

void KeyValueCache::make_room(std::int64_t block, std::int64_t rows) {
  last_ = (length_ + rows - 1) / kCachePanel;
  const auto size = static_cast<std::size_t>(all_heads_ * format_.bytes);
  const std::int64_t needed = holds_integers() ? last_ : last_ + 1;
  while (static_cast<std::int64_t>(panels_.size()) < needed) {
    panels_.emplace_back(size);
    panel_places_.push_back(panels_.back().data());
  }
  if (!holds_integers()) return;
  first_passing_ = recent_ >= 0 ? recent_ : length_ / kCachePanel;
  const std::int64_t count = heads(block).count;
  const std::int64_t passing = (last_ - first_passing_) * count * float_format_.bytes;
  if (passing_panels_.size() < static_cast<std::size_t>(passing)) {
    passing_panels_.resize(static_cast<std::size_t>(passing));
  }
  if (recent_ >= 0 && recent_ < last_) {
    const std::byte* recent = recent_panel_.data() + heads(block).first * float_format_.bytes;
    std::copy_n(recent, count * float_format_.bytes, passing_panels_.data());
  }
}

std::byte* KeyValueCache::in_float16(std::int64_t block, std::int64_t head, std::int64_t panel) {
  if (panel == last_) {
    return recent_panel_.data() + (heads(block).first + head) * float_format_.bytes;
  }
  return passing_panels_.data() +
         ((panel - first_passing_) * heads(block).count + head) * float_format_.bytes;
}

std::byte* KeyValueCache::held(std::int64_t block, std::int64_t head, std::int64_t panel) {
  return panels_[static_cast<std::size_t>(panel)].data() +
         (heads(block).first + head) * format_.bytes;
}

std::byte* KeyValueCache::floats(std::int64_t block, std::int64_t head, std::int64_t panel) {
  return holds_integers() ? in_float16(block, head, panel) : held(block, head, panel);
}

void KeyValueCache::store(std::int64_t block, std::int64_t position, const float* key,
                          const float* value) {
  for (std::int64_t head = 0; head < heads(block).count; ++head) {
    const std::int64_t at = head * format_.head_dim;
    kernels::store_in_panel(float_format_, position % kCachePanel, key + at, value + at,
                            floats(block, head, position / kCachePanel));
  }
}

void KeyValueCache::quantize(std::int64_t block) {
  if (!holds_integers()) return;
  const std::int64_t count = heads(block).count;
  parallel_for((last_ - first_passing_) * count, [&](std::int64_t task) {
    const std::int64_t panel = first_passing_ + task / count;
    const std::int64_t head = task % count;
    kernels::quantize_panel(format_, in_float16(block, head, panel), held(block, head, panel));
  });
}

kernels::HeadCache KeyValueCache::head(std::int64_t block, std::int64_t key_value_head,
                                       std::int64_t position) {
  const std::int64_t offset = (heads(block).first + key_value_head) * format_.bytes;
  return {&format_, panel_places_.data(), offset, &float_format_,
          floats(block, key_value_head, position / kCachePanel)};
}

std::size_t KeyValueCache::bytes() const {
  return panels_.size() * static_cast<std::size_t>(all_heads_ * format_.bytes) +
         recent_panel_.size() + passing_panels_.size();
}

double cache_bytes_read(const Architecture& architecture, std::int64_t block, double positions,
                        const CacheOptions& options) {
  const double own = std::min(positions, (kCachePanel + 1) / 2.0);
  const std::int64_t head_dim = architecture.head_dim;
  const auto heads = static_cast<double>(architecture.shape(block).num_key_value_heads);
  return heads * (own * bytes_per_position(float_type(options.type), head_dim) +
                  (positions - own) * bytes_per_position(options.type, head_dim));
}

}  // namespace terse
