#include "terse/formats/quantization_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "terse/core/error.h"
#include "terse/formats/module_target.h"

namespace terse {
namespace {

constexpr std::string_view kMethod = "compressed-tensors";
constexpr std::string_view kFormat = "pack-quantized";
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

QuantizationScheme parse_weights(const Json& weights) {
  require_text(weights, "type", {"int"});
  require_nothing(weights, "dynamic");
  require_nothing(weights, "block_structure");
  QuantizationScheme scheme;
  const std::int64_t bits = get_integer(weights, "num_bits", 8);
  if (bits < 2 || bits > 8) throw bad_input("key 'num_bits': {} is not 2 to 8", bits);
  scheme.bits = static_cast<int>(bits);
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

QuantizationGroup parse_group(const Json& group) {
  if (!group.is_object()) {
    throw bad_input("expected an object with targets and weights, found {}", group.type_name());
  }
  require_text(group, "format", {kFormat});
  require_nothing(group, "input_activations");
  require_nothing(group, "output_activations");
  QuantizationGroup parsed;
  parsed.targets = parse_targets(group, "targets");
  parsed.scheme =
      with_context("weights", [&] { return parse_weights(get_object(group, "weights")); });
  return parsed;
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

Json QuantizationConfig::to_json() const {
  Json config_groups = Json::object();
  for (std::size_t i = 0; i < groups.size(); ++i) {
    config_groups[fmt::format("group_{}", i)] = {{"targets", groups[i].targets},
                                                 {"weights", weights_json(groups[i].scheme)},
                                                 {"input_activations", nullptr},
                                                 {"output_activations", nullptr},
                                                 {"format", kFormat}};
  }
  return {{"quant_method", kMethod},
          {"format", kFormat},
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
    // Mixed formats are fine as long as every group has this one.
    require_text(json, "format", {kFormat, "mixed-precision"});
    require_text(json, "quantization_status", {"compressed", "frozen"});
    for (const char* key : {"kv_cache_scheme", "sparsity_config", "transform_config"}) {
      require_nothing(json, key);
    }
    QuantizationConfig config;
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
