#include "terse/formats/sparse_config.h"

#include <algorithm>
#include <set>

#include "terse/core/error.h"
#include "terse/formats/quantization_config.h"

namespace terse {
namespace {

constexpr std::int64_t kVersion = 1;

SparseLayout parse_layout(const std::string& name) {
  for (const SparseLayout layout : {SparseLayout::bitmap, SparseLayout::two_four}) {
    if (name == layout_name(layout)) return layout;
  }
  throw bad_input("key 'layout': '{}' is not supported; expected bitmap or 2:4", name);
}

SparseGroup parse_group(const Json& json) {
  if (!json.is_object()) {
    throw bad_input("expected an object with targets and layout, found {}", json.type_name());
  }
  SparseGroup group;
  for (const Json& target : get_array(json, "targets")) {
    if (!target.is_string()) {
      throw bad_input("key 'targets': expected strings, found {}", target.type_name());
    }
    group.targets.push_back(target.get<std::string>());
  }
  group.layout = parse_layout(get_string(json, "layout"));
  if (has_key(json, "quantization")) {
    group.scheme = with_context(
        "quantization", [&] { return parse_scheme_json(get_object(json, "quantization")); });
  }
  return group;
}

}  // namespace

std::string_view layout_name(SparseLayout layout) {
  return layout == SparseLayout::bitmap ? "bitmap" : "2:4";
}

Json SparseConfig::to_json() const {
  Json list = Json::array();
  for (const SparseGroup& group : groups) {
    Json json{{"targets", group.targets}, {"layout", layout_name(group.layout)}};
    if (group.scheme) json["quantization"] = scheme_json(*group.scheme);
    list.push_back(std::move(json));
  }
  return {{"version", kVersion}, {"groups", std::move(list)}};
}

SparseConfig SparseConfig::parse(const Json& json) {
  return with_context("terse_config", [&] {
    const std::int64_t version = get_integer(json, "version");
    if (version != kVersion) {
      throw bad_input("key 'version': {} is not {}; a newer terse wrote this", version, kVersion);
    }
    SparseConfig config;
    std::set<std::string> seen;
    for (const Json& group : get_array(json, "groups")) {
      config.groups.push_back(parse_group(group));
      for (const std::string& target : config.groups.back().targets) {
        if (!seen.insert(target).second) throw bad_input("target '{}' is given twice", target);
      }
    }
    return config;
  });
}

const SparseGroup* SparseConfig::group_for(std::string_view module_name) const {
  const auto found = std::ranges::find_if(groups, [&](const SparseGroup& group) {
    return std::ranges::find(group.targets, module_name) != group.targets.end();
  });
  return found == groups.end() ? nullptr : &*found;
}

std::optional<SparseLayout> legacy_sparse_layout(const Json& quantization_config) {
  constexpr const char* kKey = "sparsity_config";
  if (!has_key(quantization_config, kKey)) return std::nullopt;
  const Json& sparsity = get_object(quantization_config, kKey);
  if (sparsity.empty()) return std::nullopt;
  const std::string format = get_string(sparsity, "format");
  if (format == "dense") return std::nullopt;
  if (format == "sparse-bitmask") return SparseLayout::bitmap;
  if (format == "sparse-24-bitmask") return SparseLayout::two_four;
  throw bad_input(
      "key '{}': format '{}' is not supported; expected sparse-bitmask or sparse-24-bitmask", kKey,
      format);
}

}  // namespace terse
