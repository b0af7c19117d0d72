#include "terse/model/kept_units.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "terse/core/error.h"

namespace terse {
namespace {

using Units = std::vector<std::int64_t>;

// Numbers [unit * size, unit * size + size) of each unit, moved by `offset`.
void append(Units& places, const Units& units, std::int64_t size, std::int64_t offset = 0) {
  for (const std::int64_t unit : units) {
    for (std::int64_t i = 0; i < size; ++i) places.push_back(offset + unit * size + i);
  }
}

Units expanded(const Units& units, std::int64_t size) {
  Units places;
  append(places, units, size);
  return places;
}

Units fused_rows(const Architecture& a, const Units& heads) {
  if (a.fused_layout == FusedLayout::heads) return expanded(heads, 3 * a.head_dim);
  Units rows = expanded(heads, queries_per_key_value_head(a) * a.head_dim);
  append(rows, heads, a.head_dim, a.query_size());
  append(rows, heads, a.head_dim, a.query_size() + a.key_size());
  return rows;
}

// "model.layers." of a checkpoint's names.
std::string blocks_prefix(const Model& model) {
  const auto& [role, name] = *model.architecture().linears.begin();
  constexpr std::string_view kNumber = "{}";
  const std::string after = name.substr(name.find(kNumber) + kNumber.size());
  const std::string module = model.linear_module(0, role);
  return module.substr(0, module.size() - after.size() - 1);
}

// The block that a name is of, and what follows its number.
std::optional<std::pair<std::int64_t, std::string>> block_of(const std::string& name,
                                                             const std::string& prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  const std::size_t end = name.find_first_not_of("0123456789", prefix.size());
  // No model has so many blocks that their number has more digits.
  constexpr std::size_t kDigits = 9;
  if (end == prefix.size() || end == std::string::npos || end - prefix.size() > kDigits) {
    return std::nullopt;
  }
  return std::pair(std::stoll(name.substr(prefix.size(), end - prefix.size())), name.substr(end));
}

// Cuts the linears of a block.
void cut_linears(const Model& model, const KeptBlock& kept,
                 std::map<std::string, TensorPart>& parts) {
  const Architecture& a = model.architecture();
  for (const auto& entry : a.linears) {
    KeptFeatures features = kept_features(a, entry.first, kept);
    const std::string module = model.linear_module(kept.block, entry.first);
    for (auto& [name, part] : parts) {
      if (part.source == module + ".bias") part.rows = features.outputs;
      if (part.source != module + ".weight") continue;
      if (a.conv1d) std::swap(features.outputs, features.inputs);
      part.rows = features.outputs;
      part.columns = features.inputs;
      if (a.conv1d) std::swap(features.outputs, features.inputs);
    }
  }
}

std::map<std::string, TensorPart> kept_tensors(const Model& model,
                                               const std::vector<KeptBlock>& kept) {
  const std::string prefix = blocks_prefix(model);
  std::map<std::string, TensorPart> all;
  std::map<std::int64_t, std::map<std::string, TensorPart>> blocks;
  for (const std::string& name : model.checkpoint().names()) {
    if (const auto of_block = block_of(name, prefix)) {
      blocks[of_block->first][of_block->second] = {name};
    } else {
      all[name] = {name};
    }
  }
  for (std::size_t i = 0; i < kept.size(); ++i) {
    std::map<std::string, TensorPart> parts = blocks[kept[i].block];
    cut_linears(model, kept[i], parts);
    for (auto& [rest, part] : parts) all[fmt::format("{}{}{}", prefix, i, rest)] = std::move(part);
  }
  return all;
}

// Families have names of their own for some sizes, which a config may leave out.
constexpr std::array<const char*, 3> kChannelKeys{"intermediate_size", "ffn_dim", "n_inner"};

void set_size(Json& config, std::initializer_list<const char*> keys, std::int64_t value) {
  const auto there =
      std::ranges::find_if(keys, [&](const char* key) { return config.contains(key); });
  config[there == keys.end() ? *keys.begin() : *there] = value;
}

// What a config says of every block in turn.
void cut_layer_types(Json& config, const std::vector<KeptBlock>& kept) {
  const Json types = config.value("layer_types", Json());
  if (!types.is_array()) return;
  Json left = Json::array();
  for (const KeptBlock& block : kept) {
    const auto index = static_cast<std::size_t>(block.block);
    if (index < types.size()) left.push_back(types[index]);
  }
  config["layer_types"] = std::move(left);
}

template <class T>
std::vector<T> of_kept(const std::vector<T>& by_block, const std::vector<KeptBlock>& kept) {
  std::vector<T> left;
  for (const KeptBlock& block : kept) {
    left.push_back(by_block[static_cast<std::size_t>(block.block)]);
  }
  return left;
}

Architecture kept_architecture(Architecture a, const std::vector<KeptBlock>& kept) {
  const KeptBlock& first = kept.front();
  a.num_hidden_layers = static_cast<std::int64_t>(kept.size());
  a.sliding_window = of_kept(a.sliding_window, kept);
  a.attention_scale = of_kept(a.attention_scale, kept);
  if (!first.key_value_heads.empty()) {
    const std::int64_t queries = queries_per_key_value_head(a);
    a.num_key_value_heads = static_cast<std::int64_t>(first.key_value_heads.size());
    a.num_attention_heads = queries * a.num_key_value_heads;
  }
  if (!first.channels.empty()) {
    a.intermediate_size = static_cast<std::int64_t>(first.channels.size());
  }
  return a;
}

bool same_shape(const Architecture& x, const Architecture& y) {
  return x.num_hidden_layers == y.num_hidden_layers &&
         x.num_attention_heads == y.num_attention_heads &&
         x.num_key_value_heads == y.num_key_value_heads && x.head_dim == y.head_dim &&
         x.intermediate_size == y.intermediate_size && x.sliding_window == y.sliding_window &&
         x.attention_scale == y.attention_scale;
}

bool says(const Json& config, const Architecture& expected) {
  try {
    return same_shape(parse_architecture(config), expected);
  } catch (const Error&) {
    return false;
  }
}

// A config of the same family that says the shape; nothing when there is none.
std::optional<Json> kept_config(const Model& model, const Architecture& smaller,
                                const std::vector<KeptBlock>& kept) {
  const Architecture& a = model.architecture();
  Json config = model.checkpoint().config();
  cut_layer_types(config, kept);
  set_size(config, {"num_hidden_layers", "n_layer"}, smaller.num_hidden_layers);
  if (smaller.num_attention_heads != a.num_attention_heads) {
    set_size(config, {"num_attention_heads", "n_head"}, smaller.num_attention_heads);
    set_size(config, {"num_key_value_heads"}, smaller.num_key_value_heads);
    set_size(config, {"head_dim"}, a.head_dim);
  }
  if (says(config, smaller)) return config;
  for (const char* key : kChannelKeys) {
    Json with_channels = config;
    with_channels[key] = smaller.intermediate_size;
    if (says(with_channels, smaller)) return with_channels;
  }
  return std::nullopt;
}

}  // namespace

std::int64_t queries_per_key_value_head(const Architecture& a) {
  return a.num_attention_heads / a.num_key_value_heads;
}

KeptFeatures kept_features(const Architecture& a, LinearRole role, const KeptBlock& kept) {
  const Units& heads = kept.key_value_heads;
  const std::int64_t query_rows = queries_per_key_value_head(a) * a.head_dim;
  switch (role) {
    case LinearRole::q_proj:
      return {expanded(heads, query_rows), {}};
    case LinearRole::k_proj:
    case LinearRole::v_proj:
      return {expanded(heads, a.head_dim), {}};
    case LinearRole::qkv_proj:
      return {heads.empty() ? Units() : fused_rows(a, heads), {}};
    case LinearRole::o_proj:
      return {{}, expanded(heads, query_rows)};
    case LinearRole::gate_proj:
    case LinearRole::up_proj:
      return {kept.channels, {}};
    case LinearRole::down_proj:
      return {{}, kept.channels};
  }
  return {};
}

Checkpoint keep_units(const Model& model, const std::vector<KeptBlock>& kept) {
  const Architecture smaller = kept_architecture(model.architecture(), kept);
  const std::optional<Json> config = kept_config(model, smaller, kept);
  if (!config) {
    throw bad_usage(
        "{} blocks of {} heads of size {} and {} channels: the config of a {} model cannot say "
        "this shape; keep other blocks, or all heads",
        smaller.num_hidden_layers, smaller.num_attention_heads, smaller.head_dim,
        smaller.intermediate_size, smaller.family);
  }
  return model.checkpoint().of_parts(kept_tensors(model, kept), *config);
}

}  // namespace terse
