// Our key in config.json, `terse_config`: how weights are stored that no shared format expresses.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "terse/core/json.h"

namespace terse {

/// Modules that are stored alike.
struct StorageGroup {
  std::vector<std::string> targets;  ///< Whole names of modules.
  std::string layout;                ///< Which kind of weight reads them: "bitmap".
  Json storage;                      ///< All that the kind wants to know, `layout` included.

  bool operator==(const StorageGroup&) const = default;
};

/// The value of `terse_config`: {"version": 1, "groups": [{"targets": [...], "layout": "2:4",
/// and what else the layout needs}], "shape": {...}}. The shape is there only where the family's
/// own keys cannot say it (model/block_shapes.h).
struct TerseConfig {
  std::vector<StorageGroup> groups;
  Json shape = nullptr;  ///< An object, or null.

  bool operator==(const TerseConfig&) const = default;

  Json to_json() const;

  /// Errors: bad_input naming the key: another version, a target twice.
  static TerseConfig parse(const Json& json);

  /// Of a whole config.json; without groups where it has no such key.
  static TerseConfig of(const Json& config);

  /// The group of a module, or nullptr.
  const StorageGroup* group_for(std::string_view module_name) const;
};

}  // namespace terse
