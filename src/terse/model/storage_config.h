// What config.json says of how the weights of a model are stored.
#pragma once

#include <string>
#include <vector>

#include "terse/core/json.h"
#include "terse/model/model.h"

namespace terse {

/// A module whose weight was written.
struct ModuleStorage {
  std::string module;
  std::string class_name;  ///< "Linear", "Embedding" or "Conv1D", as readers know the module.
  Json config;             ///< Weight::config.
};

/// What must be known of the model besides.
struct StorageContext {
  std::vector<std::string> block_linears;  ///< Every linear of the blocks.
  std::string embedding;
  std::string head;
  bool tied = false;                     ///< Head and embedding are one matrix.
  std::vector<std::string> projections;  ///< project_in and project_out, where there are any.
};

StorageContext storage_context(const Model& model);

/// Adds to config.json what its readers need for `modules` (those that are left out count as
/// dense); nothing when all are dense.
///   `quantization_config` (quantization_config.h): a group for all modules with equal schemes.
///     When all block linears with integers share a scheme, and are of the class Linear, the group
///     targets the class, which is what readers choose kernels by; else it names the modules.
///     Embedding and head have groups of their own, by name; of tied ones both are named. Linears
///     without a scheme, modules with a layout, and a head and projections left as they were are
///     ignored.
///   `terse_config` (terse_config.h): a group for all modules with equal configs of a `layout`.
/// Groups and names come in the order of `modules`. Errors: bad_input for a config that is not one
/// of Weight::config.
void add_storage_config(Json& config, const std::vector<ModuleStorage>& modules,
                        const StorageContext& context);

}  // namespace terse
