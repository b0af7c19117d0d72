#include "terse/model/storage_config.h"

#include <algorithm>
#include <set>

#include "terse/formats/quantization_config.h"
#include "terse/formats/terse_config.h"

namespace terse {
namespace {

// Modules that config.json says the same of.
struct Group {
  Json config;
  std::vector<std::string> modules;
};

class StorageConfig {
 public:
  StorageConfig(const std::vector<ModuleStorage>& modules, const StorageContext& context)
      : context_(context) {
    for (const ModuleStorage& module : modules) add(module);
  }

  void write(Json& config) const {
    if (!linears_.empty() || !embeddings_.empty()) {
      config["quantization_config"] = quantization_config().to_json();
    }
    if (own_.empty()) return;
    TerseConfig ours;
    ours.shape = TerseConfig::of(config).shape;
    for (const Group& group : own_) {
      ours.groups.push_back({group.modules, get_string(group.config, "layout"), group.config});
    }
    // Through the parser, so that nothing is written that could not be read.
    config["terse_config"] = TerseConfig::parse(ours.to_json()).to_json();
  }

 private:
  void add(const ModuleStorage& storage) {
    if (storage.config.is_null()) return;
    if (has_key(storage.config, "parts")) {
      add_compound(storage);
      return;
    }
    const bool of_embedding =
        storage.module == context_.embedding || storage.module == context_.head;
    if (has_key(storage.config, "layout")) {
      insert(own_, storage);
      return;
    }
    if (!of_embedding) all_linear_ = all_linear_ && storage.class_name == "Linear";
    insert(of_embedding ? embeddings_ : linears_, storage);
    quantized_.insert(storage.module);
  }

  // What it is, and each part as a module of its own.
  void add_compound(const ModuleStorage& storage) {
    Json own = storage.config;
    own.erase("parts");
    insert(own_, {storage.module, storage.class_name, own});
    for (const auto& [name, config] : storage.config.at("parts").items()) {
      const std::string part = storage.module + "." + name;
      add({part, "Linear", config});
      if (config.is_null()) plain_parts_.push_back(part);
    }
  }

  // Of tied matrices, readers may look for either name.
  std::vector<std::string> names_of(const std::string& module) const {
    if (context_.tied && (module == context_.embedding || module == context_.head)) {
      return {context_.embedding, context_.head};
    }
    return {module};
  }

  void insert(std::vector<Group>& groups, const ModuleStorage& storage) const {
    auto group = std::ranges::find(groups, storage.config, &Group::config);
    if (group == groups.end()) group = groups.insert(groups.end(), {storage.config, {}});
    for (const std::string& name : names_of(storage.module)) group->modules.push_back(name);
  }

  QuantizationConfig quantization_config() const {
    QuantizationConfig config;
    const auto add_group = [&](const Group& group, std::vector<std::string> targets) {
      config.groups.push_back(
          {std::move(targets), parse_scheme_json(get_object(group.config, "quantization"))});
    };
    const bool by_class = linears_.size() == 1 && all_linear_;
    for (const Group& group : linears_) {
      add_group(group, by_class ? std::vector<std::string>{"Linear"} : group.modules);
    }
    for (const Group& group : embeddings_) add_group(group, group.modules);
    config.ignore = ignored();
    return config;
  }

  std::vector<std::string> ignored() const {
    std::set<std::string> linears(context_.block_linears.begin(), context_.block_linears.end());
    for (const std::string& module : quantized_) linears.erase(module);
    std::vector<std::string> names(linears.begin(), linears.end());
    const bool has_head = quantized_.contains(context_.head) ||
                          (context_.tied && quantized_.contains(context_.embedding));
    if (!has_head) names.push_back(context_.head);
    for (const std::string& module : context_.projections) {
      if (!quantized_.contains(module)) names.push_back(module);
    }
    names.insert(names.end(), plain_parts_.begin(), plain_parts_.end());
    for (const Group& group : own_) {
      for (const std::string& module : group.modules) {
        if (std::ranges::find(names, module) == names.end()) names.push_back(module);
      }
    }
    return names;
  }

  const StorageContext& context_;
  std::vector<Group> linears_;     // integers, of the blocks and projections
  std::vector<Group> embeddings_;  // integers, of embedding and head
  std::vector<Group> own_;         // what only we read
  std::set<std::string> quantized_;
  std::vector<std::string> plain_parts_;  // of own ones, stored as real numbers
  bool all_linear_ = true;
};

}  // namespace

StorageContext storage_context(const Model& model) {
  const Architecture& a = model.architecture();
  StorageContext context{{}, model.embedding_module(), model.head_module(), model.tied(), {}};
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    for (const LinearKey& key : a.block_linears(block)) {
      context.block_linears.push_back(model.linear_module(block, key));
    }
    if (a.has_experts(block)) context.block_linears.push_back(model.router_module(block));
  }
  if (a.projected_embeddings) {
    context.projections = {model.project_in_module(), model.project_out_module()};
  }
  return context;
}

void add_storage_config(Json& config, const std::vector<ModuleStorage>& modules,
                        const StorageContext& context) {
  StorageConfig(modules, context).write(config);
}

}  // namespace terse
