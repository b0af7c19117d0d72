#include "terse/model/family_config.h"

#include <algorithm>
#include <array>
#include <initializer_list>

#include "terse/core/error.h"
#include "terse/model/block_shapes.h"

namespace terse {
namespace {

// Families have names of their own for some sizes, which a config may leave out.
constexpr std::array<const char*, 3> kChannelKeys{"intermediate_size", "ffn_dim", "n_inner"};

void set_size(Json& config, std::initializer_list<const char*> keys, std::int64_t value) {
  const auto there =
      std::ranges::find_if(keys, [&](const char* key) { return config.contains(key); });
  config[there == keys.end() ? *keys.begin() : *there] = value;
}

bool uniform(const Architecture& a) {
  const auto& shapes = a.block_shapes;
  return std::ranges::adjacent_find(shapes, std::not_equal_to()) == shapes.end();
}

bool says(const Json& config, const Architecture& expected) {
  try {
    return same_blocks(parse_architecture(config), expected);
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

std::optional<Json> family_config(Json config, const Architecture& wanted) {
  config.erase("terse_config");
  const BlockShape shape = wanted.shape(0);
  const bool sized =
      uniform(wanted) && shape.num_attention_heads > 0 && shape.intermediate_size > 0;
  if (says(config, wanted)) return config;
  if (!sized) return std::nullopt;
  // As few fields as say it.
  Json with_key_values = config;
  set_size(with_key_values, {"num_key_value_heads"}, shape.num_key_value_heads);
  Json with_heads = with_key_values;
  set_size(with_heads, {"num_attention_heads", "n_head"}, shape.num_attention_heads);
  Json with_sizes = with_heads;
  set_size(with_sizes, {"head_dim"}, wanted.head_dim);
  for (const Json& base : {config, with_key_values, with_heads, with_sizes}) {
    if (says(base, wanted)) return base;
    for (const char* key : kChannelKeys) {
      Json with_channels = base;
      with_channels[key] = shape.intermediate_size;
      if (says(with_channels, wanted)) return with_channels;
    }
  }
  return std::nullopt;
}

}  // namespace terse
