#include "terse/formats/quantization_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "terse/core/error.h"
#include "terse/formats/module_target.h"
#include "terse/formats/sparse_config.h"

namespace terse {
namespace {

constexpr std::string_view kMethod = "compressed-tensors";
constexpr std::string_view kPacked = "pack-quantized";
constexpr std::string_view kInt = "int-quantized";
constexpr std::string_view kMixed = "mixed-precision";
// The release of compressed-tensors whose words the config uses.
constexpr std::string_view kVersion = "0.18.0";

Json actorder_json(ActivationOrdering actorder) {
  switch (actorder) {
    case ActivationOrdering::weight:
      return "weight";
    case ActivationOrdering::group:
      return "group";
    default:
      return nullptr;
  }
}

Json group_size_json(const QuantizationScheme& scheme) {
  if (scheme.strategy == QuantizationStrategy::group) return scheme.group_size;
  return nullptr;
}

Json weights_json(const QuantizationScheme& scheme) {
  return {{"num_bits", scheme.bits},
          {"type", "int"},
          {"symmetric", scheme.symmetric},
          {"group_size", group_size_json(scheme)},
          {"strategy", strategy_name(scheme.strategy)},
          {"block_structure", nullptr},
          {"dynamic", false},
          {"actorder", actorder_json(scheme.actorder)},
          {"observer", "minmax"},
          {"observer_kwargs", Json::object()}};
}

// Dynamic scales need no observer.
Json activations_json(const ActivationScheme& activations) {
  return {{"num_bits", activations.bits},
          {"type", "int"},
          {"symmetric", activations.symmetric},
          {"group_size", nullptr},
          {"strategy", activations.dynamic() ? "token" : "tensor"},
          {"block_structure", nullptr},
          {"dynamic", activations.dynamic()},
          {"actorder", nullptr},
          {"observer", activations.dynamic() ? Json() : Json("minmax")},
          {"observer_kwargs", Json::object()}};
}

// A key that says nothing when it is absent, null or empty must say nothing.
void require_nothing(const Json& object, std::string_view key) {
  if (has_key(object, key) && !object.at(key).empty() && object.at(key) != false) {
    throw bad_input("key '{}': {} is not supported here", key, object.at(key).dump());
  }
}

void require_text(const Json& object, std::string_view key,
                  std::initializer_list<std::string_view> supported) {
  const std::string found = get_string(object, key, *supported.begin());
  if (std::ranges::find(supported, found) != supported.end()) return;
  throw bad_input("key '{}': '{}' is not supported; expected '{}'", key, found, *supported.begin());
}

std::vector<std::string> parse_targets(const Json& object, std::string_view key) {
  std::vector<std::string> targets;
  if (!has_key(object, key)) return targets;
  for (const Json& target : get_array(object, key)) {
    if (!target.is_string()) {
      throw bad_input("key '{}': expected strings, found {}", key, target.type_name());
    }
    targets.push_back(target.get<std::string>());
    check_target(targets.back());
  }
  return targets;
}

QuantizationStrategy parse_strategy(const Json& weights) {
  const std::int64_t size = get_integer(weights, "group_size", 0);
  const bool has_size = has_key(weights, "group_size");
  const std::string_view inferred = !has_size ? "tensor" : size == -1 ? "channel" : "group";
  const std::string name = get_string(weights, "strategy", inferred);
  for (const auto strategy :
       {QuantizationStrategy::tensor, QuantizationStrategy::channel, QuantizationStrategy::group}) {
    if (name == strategy_name(strategy)) return strategy;
  }
  throw bad_input("key 'strategy': '{}' is not supported; expected tensor, channel or group", name);
}

ActivationOrdering parse_actorder(const Json& weights) {
  if (!has_key(weights, "actorder")) return ActivationOrdering::none;
  if (weights.at("actorder").is_boolean()) {
    return get_bool(weights, "actorder", false) ? ActivationOrdering::group
                                                : ActivationOrdering::none;
  }
  const std::string name = get_string(weights, "actorder");
  if (name == "group" || name == "dynamic") return ActivationOrdering::group;
  if (name == "weight" || name == "static") return ActivationOrdering::weight;
  throw bad_input("key 'actorder': '{}' is not supported; expected group, weight or null", name);
}

int parse_bits(const Json& arguments) {
  const std::int64_t bits = get_integer(arguments, "num_bits", 8);
  if (bits < 2 || bits > 8) throw bad_input("key 'num_bits': {} is not 2 to 8", bits);
  return static_cast<int>(bits);
}

QuantizationScheme parse_weights(const Json& weights) {
  require_text(weights, "type", {"int"});
  require_nothing(weights, "dynamic");
  require_nothing(weights, "block_structure");
  QuantizationScheme scheme;
  scheme.bits = parse_bits(weights);
  scheme.symmetric = get_bool(weights, "symmetric", true);
  scheme.strategy = parse_strategy(weights);
  scheme.actorder = parse_actorder(weights);
  if (scheme.strategy == QuantizationStrategy::group) {
    scheme.group_size = get_integer(weights, "group_size");
    if (scheme.group_size <= 0) {
      throw bad_input("key 'group_size': {} is not positive", scheme.group_size);
    }
  } else if (get_integer(weights, "group_size", 0) > 0) {
    throw bad_input("key 'group_size': needs the strategy group, found {}",
                    strategy_name(scheme.strategy));
  } else if (scheme.actorder == ActivationOrdering::group) {
    throw bad_input("key 'actorder': group needs the strategy group");
  }
  return scheme;
}

// A scale for all tokens together would make a row depend on the others, and one scale for every
// token cannot be known beforehand.
ActivationScheme parse_activations(const Json& arguments) {
  require_text(arguments, "type", {"int"});
  for (const char* key : {"group_size", "block_structure", "actorder"}) {
    require_nothing(arguments, key);
  }
  ActivationScheme activations;
  activations.bits = parse_bits(arguments);
  activations.symmetric = get_bool(arguments, "symmetric", true);
  const bool dynamic = get_bool(arguments, "dynamic", false);
  require_text(arguments, "strategy", {dynamic ? "token" : "tensor"});
  activations.strategy = dynamic ? ActivationStrategy::token : ActivationStrategy::tensor;
  // What the reference takes a missing strategy for.
  if (dynamic && !has_key(arguments, "strategy")) {
    throw bad_input("key 'strategy': tensor is not supported where dynamic; expected 'token'");
  }
  return activations;
}

QuantizationGroup parse_group(const Json& group) {
  if (!group.is_object()) {
    throw bad_input("expected an object with targets and weights, found {}", group.type_name());
  }
  require_text(group, "format", {kPacked, kInt});
  return {parse_targets(group, "targets"), parse_scheme_json(group)};
}

void check_targets_once(const std::vector<QuantizationGroup>& groups) {
  std::set<std::string> seen;
  for (const QuantizationGroup& group : groups) {
    for (const std::string& target : group.targets) {
      if (!seen.insert(target).second) throw bad_input("target '{}' is given twice", target);
    }
  }
}

}  // namespace

std::string_view strategy_name(QuantizationStrategy strategy) {
  switch (strategy) {
    case QuantizationStrategy::tensor:
      return "tensor";
    case QuantizationStrategy::channel:
      return "channel";
    case QuantizationStrategy::group:
      return "group";
  }
  return "";
}

std::string_view format_name(const QuantizationScheme& scheme) {
  return scheme.activations && scheme.bits == 8 ? kInt : kPacked;
}

Json scheme_json(const QuantizationScheme& scheme) {
  return {
      {"weights", weights_json(scheme)},
      {"input_activations", scheme.activations ? activations_json(*scheme.activations) : Json()},
      {"output_activations", nullptr}};
}

QuantizationScheme parse_scheme_json(const Json& group) {
  require_nothing(group, "output_activations");
  QuantizationScheme scheme =
      with_context("weights", [&] { return parse_weights(get_object(group, "weights")); });
  if (has_key(group, "input_activations")) {
    scheme.activations = with_context("input_activations", [&] {
      return parse_activations(get_object(group, "input_activations"));
    });
  }
  return scheme;
}

Json group_json(const QuantizationScheme& scheme) {
  Json group = scheme_json(scheme);
  group["format"] = format_name(scheme);
  return group;
}

Json QuantizationConfig::to_json() const {
  Json config_groups = Json::object();
  std::set<std::string_view> formats;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    Json group = group_json(groups[i].scheme);
    group["targets"] = groups[i].targets;
    config_groups[fmt::format("group_{}", i)] = std::move(group);
    formats.insert(format_name(groups[i].scheme));
  }
  return {{"quant_method", kMethod},
          {"format", formats.empty()       ? kPacked
                     : formats.size() == 1 ? *formats.begin()
                                           : kMixed},
          {"quantization_status", "compressed"},
          {"config_groups", std::move(config_groups)},
          {"ignore", ignore},
          {"kv_cache_scheme", nullptr},
          {"global_compression_ratio", nullptr},
          {"sparsity_config", Json::object()},
          {"transform_config", Json::object()},
          {"version", kVersion}};
}

QuantizationConfig QuantizationConfig::parse(const Json& json) {
  return with_context("quantization_config", [&] {
    require_text(json, "quant_method", {kMethod});
    const bool is_sparse = legacy_sparse_layout(json).has_value();
    // "dense" is what sparse files without integers have. Of mixed formats each group tells its
    // own.
    const std::string_view unquantized = is_sparse ? "dense" : kPacked;
    require_text(json, "format", {kPacked, kInt, kMixed, unquantized});
    require_text(json, "quantization_status", {"compressed", "frozen"});
    for (const char* key : {"kv_cache_scheme", "transform_config"}) require_nothing(json, key);
    QuantizationConfig config;
    if (is_sparse && !has_key(json, "config_groups")) return config;
    for (const auto& [name, group] : get_object(json, "config_groups").items()) {
      config.groups.push_back(with_context(name, [&group = group] { return parse_group(group); }));
    }
    check_targets_once(config.groups);
    config.ignore = parse_targets(json, "ignore");
    return config;
  });
}

const QuantizationScheme* QuantizationConfig::scheme_for(std::string_view module_name,
                                                         std::string_view module_class) const {
  const auto matches = [&](const std::string& target) {
    return target == module_class || target_matches_name(target, module_name);
  };
  if (std::ranges::any_of(ignore, matches)) return nullptr;
  // Rank, then the text of the target: the smallest wins.
  std::pair<int, std::string_view> best{3, {}};
  const QuantizationScheme* scheme = nullptr;
  for (const QuantizationGroup& group : groups) {
    for (const std::string& target : group.targets) {
      if (!matches(target)) continue;
      const int rank = target == module_name ? 0 : is_regex_target(target) ? 1 : 2;
      const std::pair<int, std::string_view> candidate{rank, target};
      if (candidate >= best) continue;
      best = candidate;
      scheme = &group.scheme;
    }
  }
  return scheme;
}

}  // namespace terse
