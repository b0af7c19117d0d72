#include "terse/model/kept_units.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "terse/core/error.h"
#include "terse/model/block_shapes.h"
#include "terse/model/family_config.h"
#include "terse/model/narrowed.h"

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

Units all_units(std::int64_t count) {
  Units units(static_cast<std::size_t>(count));
  std::iota(units.begin(), units.end(), 0);
  return units;
}

Units kept_queries(const Architecture& a, const KeptBlock& kept) {
  if (kept.attention_heads) return *kept.attention_heads;
  if (kept.shared_key_values) return all_units(a.shape(kept.block).num_attention_heads);
  return expanded(*kept.key_value_heads, queries_per_key_value_head(a, kept.block));
}

Units kept_key_values(const Architecture& a, const KeptBlock& kept) {
  return kept.key_value_heads.value_or(all_units(a.shape(kept.block).num_key_value_heads));
}

bool keeps_all_heads(const KeptBlock& kept) {
  return !kept.key_value_heads && !kept.attention_heads;
}

Units fused_rows(const Architecture& a, const KeptBlock& kept) {
  const Units queries = kept_queries(a, kept);
  if (a.fused_layout == FusedLayout::heads) return expanded(queries, 3 * a.head_dim);
  const Units key_values = kept_key_values(a, kept);
  Units rows = expanded(queries, a.head_dim);
  append(rows, key_values, a.head_dim, a.query_size(kept.block));
  append(rows, key_values, a.head_dim, a.query_size(kept.block) + a.key_size(kept.block));
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

void remove_module(std::map<std::string, TensorPart>& parts, const std::string& module) {
  std::erase_if(parts, [&](const auto& item) {
    return item.second.source.starts_with(module) && item.second.source[module.size()] == '.';
  });
}

std::vector<std::int64_t> all_or(const KeptBlock::Units& units) {
  return units.value_or(Units());
}

// A norm over fewer values, which makes up for those that went.
void cut_norm(const Model& model, const std::string& module, const Units& hidden,
              std::map<std::string, TensorPart>& parts) {
  for (auto& [name, part] : parts) {
    if (part.source != module + ".weight") continue;
    part.rows = hidden;
    part.scale = norm_scale(model.architecture(), static_cast<std::int64_t>(hidden.size()));
  }
}

// Cuts the linears of a block, or removes them with the norm that they read.
void cut_linears(const Model& model, const KeptBlock& kept, const Architecture& smaller,
                 std::int64_t place, std::map<std::string, TensorPart>& parts) {
  const Architecture& a = model.architecture();
  const auto left = smaller.roles(place);
  for (const LinearRole role : a.roles(kept.block)) {
    // Of experts nothing is cut.
    if (a.has_experts(kept.block) && a.experts.linears.contains(role)) continue;
    const std::string module = model.linear_module(kept.block, role);
    if (std::ranges::find(left, role) == left.end()) {
      remove_module(parts, module);
      continue;
    }
    const KeptFeatures features = kept_features(a, role, kept);
    for (auto& [name, part] : parts) {
      if (part.source == module + ".bias") part.rows = all_or(features.outputs);
      if (part.source != module + ".weight") continue;
      part.rows = all_or(a.conv1d ? features.inputs : features.outputs);
      part.columns = all_or(a.conv1d ? features.outputs : features.inputs);
    }
  }
  for (const NormRole role : {NormRole::attention, NormRole::mlp}) {
    if (kept.hidden) cut_norm(model, model.norm_module(kept.block, role), *kept.hidden, parts);
  }
  const auto norms = smaller.norm_roles(place);
  for (const NormRole role : a.norm_roles(kept.block)) {
    if (std::ranges::find(norms, role) != norms.end()) continue;
    remove_module(parts, model.norm_module(kept.block, role));
  }
}

// Embedding, head and last norm.
void cut_ends(const Model& model, const Units& hidden, std::map<std::string, TensorPart>& parts) {
  for (const std::string& module : {model.embedding_module(), model.head_module()}) {
    const auto found = parts.find(module + ".weight");
    if (found != parts.end()) found->second.columns = hidden;
  }
  cut_norm(model, model.norm_module(0, NormRole::final), hidden, parts);
}

std::map<std::string, TensorPart> kept_tensors(const Model& model,
                                               const std::vector<KeptBlock>& kept,
                                               const Architecture& smaller) {
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
  if (kept.front().hidden) cut_ends(model, *kept.front().hidden, all);
  for (std::size_t i = 0; i < kept.size(); ++i) {
    std::map<std::string, TensorPart> parts = blocks[kept[i].block];
    cut_linears(model, kept[i], smaller, static_cast<std::int64_t>(i), parts);
    for (auto& [rest, part] : parts) all[fmt::format("{}{}{}", prefix, i, rest)] = std::move(part);
  }
  return all;
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

// A config that counts which blocks have experts lists those that have none.
void list_blocks_without_experts(Json& config, const Architecture& smaller) {
  if (!config.contains("mlp_only_layers") && !config.contains("decoder_sparse_step")) return;
  Json without = Json::array();
  for (std::int64_t block = 0; block < smaller.num_hidden_layers; ++block) {
    if (!smaller.has_experts(block)) without.push_back(block);
  }
  config["mlp_only_layers"] = std::move(without);
  config["decoder_sparse_step"] = 1;
}

template <class T>
std::vector<T> of_kept(const std::vector<T>& by_block, const std::vector<KeptBlock>& kept) {
  std::vector<T> left;
  for (const KeptBlock& block : kept) {
    left.push_back(by_block[static_cast<std::size_t>(block.block)]);
  }
  return left;
}

void require_units(const KeptBlock::Units& units, std::int64_t there, std::int64_t block,
                   std::string_view name) {
  if (!units) return;
  for (const std::int64_t unit : *units) {
    if (unit >= 0 && unit < there) continue;
    throw bad_usage("block {} has no {} {}; it has {}", block, name, unit, there);
  }
}

Architecture kept_architecture(Architecture a, const std::vector<KeptBlock>& kept) {
  std::vector<BlockShape> shapes;
  for (const KeptBlock& block : kept) shapes.push_back(kept_shape(a, block));
  if (const auto& hidden = kept.front().hidden) {
    require_narrowable(a);
    if (a.shortcuts)
      throw bad_usage("hidden channels of a stream that every block turns cannot go");
    for (const KeptBlock& block : kept) {
      if (block.hidden != hidden) throw failure("hidden channels differ between blocks");
    }
    require_units(hidden, a.hidden_size, 0, "hidden channel");
    a = with_width(std::move(a), static_cast<std::int64_t>(hidden->size()));
  }
  a.num_hidden_layers = static_cast<std::int64_t>(kept.size());
  a.sliding_window = of_kept(a.sliding_window, kept);
  a.attention_scale = of_kept(a.attention_scale, kept);
  a.block_shapes = shapes;
  return a;
}

Json kept_config(const Model& model, const Architecture& smaller,
                 const std::vector<KeptBlock>& kept) {
  Json config = model.checkpoint().config();
  cut_layer_types(config, kept);
  list_blocks_without_experts(config, smaller);
  if (kept.front().hidden) write_width(config, smaller);
  config[config.contains("n_layer") ? "n_layer" : "num_hidden_layers"] = smaller.num_hidden_layers;
  if (const auto plain = family_config(config, smaller)) config = *plain;
  write_block_shapes(config, smaller);
  return config;
}

// Of key-value heads that others take the place of, every so manieth stays.
void require_even_steps(const Units& key_values, std::int64_t there, std::int64_t block) {
  const auto count = static_cast<std::int64_t>(key_values.size());
  const std::int64_t step = count > 0 && there % count == 0 ? there / count : 0;
  for (std::int64_t i = 0; i < count; ++i) {
    if (step > 0 && key_values[static_cast<std::size_t>(i)] == i * step) continue;
    throw bad_usage("block {}: {} key-value heads cannot stand for its {} evenly", block, count,
                    there);
  }
}

// Every key-value head that stays must be read by as many queries as any other.
void require_even_groups(const Units& queries, const Units& key_values, std::int64_t per_head,
                         std::int64_t block) {
  std::map<std::int64_t, std::int64_t> readers;
  for (const std::int64_t head : key_values) readers[head] = 0;
  for (const std::int64_t query : queries) {
    const auto found = readers.find(query / per_head);
    if (found == readers.end()) {
      throw bad_usage("block {}: attention head {} stays without the keys and values it reads",
                      block, query);
    }
    ++found->second;
  }
  const auto uneven = [&](const auto& item) {
    return item.second != readers.begin()->second || item.second == 0;
  };
  if (std::ranges::any_of(readers, uneven)) {
    throw bad_usage(
        "block {}: {} attention heads do not share {} key-value heads evenly; keep as many of "
        "each group",
        block, queries.size(), key_values.size());
  }
}

// What a part of a block puts out is in other directions than what it reads.
void require_parts(const Architecture& a, const Architecture& smaller) {
  bool whole = a.num_hidden_layers == smaller.num_hidden_layers;
  for (std::int64_t block = 0; block < smaller.num_hidden_layers; ++block) {
    whole = whole && smaller.has_attention(block) && smaller.has_mlp(block);
  }
  if (whole) return;
  throw bad_usage(
      "blocks and their parts cannot go where each turns the residual stream; let what removes "
      "them come before");
}

bool keeps_everything(const Architecture& a, const std::vector<KeptBlock>& kept) {
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (kept[i] != KeptBlock{static_cast<std::int64_t>(i)}) return false;
  }
  return static_cast<std::int64_t>(kept.size()) == a.num_hidden_layers;
}

Json units_json(const KeptBlock::Units& units) {
  return units ? Json(*units) : Json(nullptr);
}

KeptBlock::Units parse_units(const Json& json, const char* key) {
  if (!has_key(json, key)) return {};
  return get_array(json, key).get<std::vector<std::int64_t>>();
}

}  // namespace

std::int64_t queries_per_key_value_head(const Architecture& a, std::int64_t block) {
  const BlockShape shape = a.shape(block);
  return shape.num_attention_heads / shape.num_key_value_heads;
}

BlockShape kept_shape(const Architecture& a, const KeptBlock& kept) {
  BlockShape shape = a.shape(kept.block);
  require_units(kept.channels, shape.intermediate_size, kept.block, "channel");
  require_units(kept.key_value_heads, shape.num_key_value_heads, kept.block, "key-value head");
  require_units(kept.attention_heads, shape.num_attention_heads, kept.block, "attention head");
  if (!keeps_all_heads(kept)) {
    const Units queries = kept_queries(a, kept);
    const Units key_values = kept_key_values(a, kept);
    if (kept.shared_key_values) {
      require_even_steps(key_values, shape.num_key_value_heads, kept.block);
    } else {
      require_even_groups(queries, key_values, queries_per_key_value_head(a, kept.block),
                          kept.block);
    }
    shape.num_attention_heads = static_cast<std::int64_t>(queries.size());
    shape.num_key_value_heads = static_cast<std::int64_t>(key_values.size());
  }
  if (kept.channels) shape.intermediate_size = static_cast<std::int64_t>(kept.channels->size());
  return shape;
}

KeptFeatures kept_features(const Architecture& a, LinearRole role, const KeptBlock& kept) {
  switch (role) {
    case LinearRole::q_proj:
      if (keeps_all_heads(kept) || kept.shared_key_values) return {{}, kept.hidden};
      return {expanded(kept_queries(a, kept), a.head_dim), kept.hidden};
    case LinearRole::k_proj:
    case LinearRole::v_proj:
      if (keeps_all_heads(kept)) return {{}, kept.hidden};
      return {expanded(kept_key_values(a, kept), a.head_dim), kept.hidden};
    case LinearRole::qkv_proj:
      if (keeps_all_heads(kept)) return {{}, kept.hidden};
      return {fused_rows(a, kept), kept.hidden};
    case LinearRole::o_proj:
      if (keeps_all_heads(kept) || kept.shared_key_values) return {kept.hidden, {}};
      return {kept.hidden, expanded(kept_queries(a, kept), a.head_dim)};
    case LinearRole::gate_proj:
    case LinearRole::up_proj:
      return {kept.channels, kept.hidden};
    case LinearRole::down_proj:
      return {kept.hidden, kept.channels};
  }
  return {};
}

Checkpoint keep_units(const Model& model, const std::vector<KeptBlock>& kept) {
  if (keeps_everything(model.architecture(), kept)) return model.checkpoint();
  if (model.shares_any()) {
    throw bad_usage("blocks that share weights cannot be cut; let what cuts come before");
  }
  const Architecture smaller = kept_architecture(model.architecture(), kept);
  if (smaller.shortcuts) require_parts(model.architecture(), smaller);
  const Json config = kept_config(model, smaller, kept);
  return model.checkpoint().of_parts(kept_tensors(model, kept, smaller), config);
}

Json to_json(const std::vector<KeptBlock>& kept) {
  Json json = Json::array();
  for (const KeptBlock& block : kept) {
    json.push_back({{"block", block.block},
                    {"key_value_heads", units_json(block.key_value_heads)},
                    {"attention_heads", units_json(block.attention_heads)},
                    {"channels", units_json(block.channels)},
                    {"hidden", units_json(block.hidden)},
                    {"shared_key_values", block.shared_key_values}});
  }
  return json;
}

std::vector<KeptBlock> parse_kept_blocks(const Json& json) {
  std::vector<KeptBlock> kept;
  try {
    for (const Json& block : json) {
      if (!block.is_object()) throw bad_input("expected an object, found {}", block.type_name());
      kept.push_back({get_integer(block, "block"), parse_units(block, "key_value_heads"),
                      parse_units(block, "attention_heads"), parse_units(block, "channels"),
                      parse_units(block, "hidden"), get_bool(block, "shared_key_values", false)});
    }
  } catch (const Json::exception& error) {
    throw bad_input("{}", error.what());
  }
  return kept;
}

}  // namespace terse
