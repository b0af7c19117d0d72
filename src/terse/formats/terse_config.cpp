#include "terse/formats/terse_config.h"

#include <algorithm>
#include <set>

#include "terse/core/error.h"

namespace terse {
namespace {

constexpr std::int64_t kVersion = 1;

StorageGroup parse_group(const Json& json) {
  if (!json.is_object()) {
    throw bad_input("expected an object with targets and layout, found {}", json.type_name());
  }
  StorageGroup group;
  for (const Json& target : get_array(json, "targets")) {
    if (!target.is_string()) {
      throw bad_input("key 'targets': expected strings, found {}", target.type_name());
    }
    group.targets.push_back(target.get<std::string>());
  }
  group.layout = get_string(json, "layout");
  group.storage = json;
  group.storage.erase("targets");
  return group;
}

}  // namespace

Json TerseConfig::to_json() const {
  Json list = Json::array();
  for (const StorageGroup& group : groups) {
    Json json = group.storage;
    json["targets"] = group.targets;
    list.push_back(std::move(json));
  }
  Json json = {{"version", kVersion}, {"groups", std::move(list)}};
  if (!shape.is_null()) json["shape"] = shape;
  return json;
}

TerseConfig TerseConfig::parse(const Json& json) {
  return with_context("terse_config", [&] {
    const std::int64_t version = get_integer(json, "version");
    if (version != kVersion) {
      throw bad_input("key 'version': {} is not {}; a newer terse wrote this", version, kVersion);
    }
    TerseConfig config;
    std::set<std::string> seen;
    for (const Json& group : get_array(json, "groups")) {
      config.groups.push_back(parse_group(group));
      for (const std::string& target : config.groups.back().targets) {
        if (!seen.insert(target).second) throw bad_input("target '{}' is given twice", target);
      }
    }
    if (has_key(json, "shape")) config.shape = get_object(json, "shape");
    return config;
  });
}

TerseConfig TerseConfig::of(const Json& config) {
  return has_key(config, "terse_config") ? parse(get_object(config, "terse_config"))
                                         : TerseConfig();
}

const StorageGroup* TerseConfig::group_for(std::string_view module_name) const {
  const auto found = std::ranges::find_if(groups, [&](const StorageGroup& group) {
    return std::ranges::find(group.targets, module_name) != group.targets.end();
  });
  return found == groups.end() ? nullptr : &*found;
}

}  // namespace terse
