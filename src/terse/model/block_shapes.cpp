#include "terse/model/block_shapes.h"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

#include "terse/core/error.h"
#include "terse/formats/terse_config.h"

namespace terse {
namespace {

constexpr std::int64_t kMostHeads = 1 << 12;
constexpr std::int64_t kMostHeadDim = 1 << 14;
constexpr std::int64_t kMostChannels = 1 << 22;
constexpr const char* kHeads = "num_attention_heads";
constexpr const char* kKeyValueHeads = "num_key_value_heads";
constexpr const char* kChannels = "intermediate_size";
constexpr const char* kWindows = "sliding_window";
constexpr const char* kScales = "attention_scale";
constexpr const char* kShortcuts = "shortcuts";
constexpr const char* kHeadDim = "head_dim";
constexpr const char* kNorm = "norm";
constexpr const char* kNormEps = "norm_eps";
constexpr const char* kHeadBias = "head_bias";

std::int64_t read_size(const Json& json, const char* key, std::int64_t most) {
  const std::int64_t value = get_integer(json, key);
  if (value < 0 || value > most) throw bad_input("{} is {}; expected 0 to {}", key, value, most);
  return value;
}

BlockShape parse_shape(const Json& json, std::int64_t num_experts, const Architecture& a) {
  if (!json.is_object()) throw bad_input("expected an object, found {}", json.type_name());
  BlockShape shape{read_size(json, kHeads, kMostHeads), read_size(json, kKeyValueHeads, kMostHeads),
                   read_size(json, kChannels, kMostChannels)};
  if (shape.intermediate_size > 0) shape.num_experts = num_experts;
  const bool none = shape.num_attention_heads == 0 && shape.num_key_value_heads == 0;
  if (!none && (shape.num_key_value_heads == 0 || shape.num_attention_heads == 0 ||
                shape.num_attention_heads % shape.num_key_value_heads != 0)) {
    throw bad_input("{} attention heads cannot share {} key-value heads evenly",
                    shape.num_attention_heads, shape.num_key_value_heads);
  }
  if (a.fused_layout == FusedLayout::heads &&
      shape.num_attention_heads != shape.num_key_value_heads) {
    throw bad_input("{} attention heads and {} key-value heads; a {} model has as many of both",
                    shape.num_attention_heads, shape.num_key_value_heads, a.family);
  }
  return shape;
}

void read_shapes(const Json& list, Architecture& a) {
  if (static_cast<std::int64_t>(list.size()) != a.num_hidden_layers) {
    throw bad_input("key 'blocks': {} blocks; the model has {}", list.size(), a.num_hidden_layers);
  }
  a.num_attention_heads = a.num_key_value_heads = a.intermediate_size = 0;
  const Architecture plain = a;
  a.block_shapes.clear();
  for (const Json& json : list) {
    const auto block = static_cast<std::int64_t>(a.block_shapes.size());
    const BlockShape shape = with_context(
        "key 'blocks'", [&] { return parse_shape(json, plain.shape(block).num_experts, plain); });
    a.num_attention_heads = std::max(a.num_attention_heads, shape.num_attention_heads);
    a.num_key_value_heads = std::max(a.num_key_value_heads, shape.num_key_value_heads);
    a.intermediate_size = std::max(a.intermediate_size, shape.intermediate_size);
    a.block_shapes.push_back(shape);
  }
}

void read_biases(const Json& list, Architecture& a) {
  for (const Json& json : list) {
    const auto named = [&](const auto& entry) {
      return json.is_string() && role_name(entry.first) == json.get<std::string>();
    };
    const auto found = std::ranges::find_if(a.linears, named);
    if (found == a.linears.end()) {
      throw bad_input("key 'biases': {} is no linear of a {} model", json.dump(), a.family);
    }
    a.biases.insert(found->first);
  }
}

// One number for every block.
template <class T>
std::vector<T> by_block(const Json& list, const Architecture& a) {
  const auto is_number = [](const Json& json) {
    return json.is_number() && json.get<double>() >= 0;
  };
  if (static_cast<std::int64_t>(list.size()) != a.num_hidden_layers ||
      !std::ranges::all_of(list, is_number)) {
    throw bad_input("expected {} numbers of at least 0", a.num_hidden_layers);
  }
  return list.get<std::vector<T>>();
}

// What is the same of all blocks.
void read_whole(const Json& shape, Architecture& a) {
  if (has_key(shape, kHeadDim)) {
    a.head_dim = read_size(shape, kHeadDim, kMostHeadDim);
    if (a.head_dim == 0) throw bad_input("{} is 0; expected 1 or more", kHeadDim);
  }
  if (has_key(shape, kNorm)) {
    const std::string norm = get_string(shape, kNorm);
    if (norm != "rms") throw bad_input("key '{}': '{}'; expected rms", kNorm, norm);
    a.norm = NormKind::rms;
  }
  if (has_key(shape, kNormEps)) {
    a.norm_eps = get_number(shape, kNormEps);
    if (!(a.norm_eps >= 0 && a.norm_eps <= 1)) {
      throw bad_input("key '{}' is {}; expected 0 to 1", kNormEps, a.norm_eps);
    }
  }
  a.head_bias = get_bool(shape, kHeadBias, a.head_bias);
}

void write_whole(const Architecture& plain, const Architecture& wanted, Json& shape) {
  if (plain.head_dim != wanted.head_dim) shape[kHeadDim] = wanted.head_dim;
  if (plain.norm == NormKind::layer && wanted.norm == NormKind::rms) shape[kNorm] = "rms";
  if (plain.norm_eps != wanted.norm_eps) shape[kNormEps] = wanted.norm_eps;
  if (wanted.head_bias && !plain.head_bias) shape[kHeadBias] = true;
}

bool same_shapes(const Architecture& x, const Architecture& y) {
  for (std::int64_t block = 0; block < x.num_hidden_layers; ++block) {
    if (x.shape(block) != y.shape(block)) return false;
  }
  return true;
}

void put(Json& config, const TerseConfig& ours) {
  if (ours.shape.is_null() && ours.groups.empty()) {
    config.erase("terse_config");
  } else {
    config["terse_config"] = ours.to_json();
  }
}

Json to_json(const BlockShape& shape) {
  return {{kHeads, shape.num_attention_heads},
          {kKeyValueHeads, shape.num_key_value_heads},
          {kChannels, shape.intermediate_size}};
}

}  // namespace

void read_block_shapes(const Json& config, Architecture& architecture) {
  const TerseConfig ours = TerseConfig::of(config);
  if (ours.shape.is_null()) return;
  with_context("terse_config.shape", [&] {
    read_whole(ours.shape, architecture);
    if (has_key(ours.shape, "blocks")) read_shapes(get_array(ours.shape, "blocks"), architecture);
    const auto numbers = [&](const char* key, auto& values) {
      if (!has_key(ours.shape, key)) return;
      using Number = typename std::decay_t<decltype(values)>::value_type;
      values = with_context(fmt::format("key '{}'", key), [&] {
        return by_block<Number>(get_array(ours.shape, key), architecture);
      });
    };
    numbers(kWindows, architecture.sliding_window);
    numbers(kScales, architecture.attention_scale);
    architecture.shortcuts = get_bool(ours.shape, kShortcuts, false);
    if (architecture.shortcuts && (architecture.norm_after || architecture.parallel_residual)) {
      throw bad_input("key '{}': a {} model has none", kShortcuts, architecture.family);
    }
    if (has_key(ours.shape, "biases")) read_biases(get_array(ours.shape, "biases"), architecture);
  });
}

void write_block_shapes(Json& config, const Architecture& wanted) {
  TerseConfig ours = TerseConfig::of(config);
  ours.shape = nullptr;
  put(config, ours);
  const Architecture plain = parse_architecture(config);
  write_whole(plain, wanted, ours.shape);
  if (!same_shapes(plain, wanted)) {
    for (std::int64_t block = 0; block < wanted.num_hidden_layers; ++block) {
      ours.shape["blocks"].push_back(to_json(wanted.shape(block)));
    }
  }
  if (plain.sliding_window != wanted.sliding_window) ours.shape[kWindows] = wanted.sliding_window;
  if (plain.attention_scale != wanted.attention_scale) ours.shape[kScales] = wanted.attention_scale;
  for (const LinearRole role : wanted.biases) {
    if (!plain.biases.contains(role)) ours.shape["biases"].push_back(role_name(role));
  }
  if (wanted.shortcuts) ours.shape[kShortcuts] = true;
  put(config, ours);
}

bool same_blocks(const Architecture& x, const Architecture& y) {
  return x.num_hidden_layers == y.num_hidden_layers && x.head_dim == y.head_dim &&
         x.sliding_window == y.sliding_window && x.attention_scale == y.attention_scale &&
         x.biases == y.biases && x.shortcuts == y.shortcuts && same_shapes(x, y);
}

}  // namespace terse
