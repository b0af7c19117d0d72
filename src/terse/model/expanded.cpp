#include "terse/model/expanded.h"

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "terse/formats/terse_config.h"
#include "terse/model/storage_config.h"
#include "terse/model/weights/shared.h"
#include "terse/model/weights/storage.h"

namespace terse {
namespace {

constexpr const char* kFile = "expanded.safetensors";

class Expansion {
 public:
  explicit Expansion(Model model) : model_(std::move(model)) {
    const Checkpoint& checkpoint = model_.checkpoint();
    for (const std::string& name : checkpoint.names()) parts_[name] = {name};
    const Architecture& a = model_.architecture();
    for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
      model_.load_block(block, false);
      for (const LinearKey& key : a.block_linears(block)) {
        expand(model_.block(block).linears.at(key), a.conv1d ? "Conv1D" : "Linear");
      }
      model_.unload_block(block);
    }
    storage_.push_back({model_.tied_module(), "Embedding", model_.embedding().config()});
    if (!model_.tied()) {
      storage_.push_back({model_.head_module(), "Linear", model_.head().weight->config()});
    }
  }

  Checkpoint write(const std::filesystem::path& folder) {
    const Checkpoint plain = model_.checkpoint().of_parts(parts_, config());
    if (sums_.empty()) return plain;
    write_safetensors(folder / kFile, sums_);
    return plain.overlaid({folder / kFile}, {}, plain.config());
  }

 private:
  void expand(const Linear& linear, const char* class_name) {
    const auto* shared = dynamic_cast<const Shared*>(linear.weight.get());
    if (shared == nullptr) {
      storage_.push_back({linear.module, class_name, linear.weight->config()});
      return;
    }
    for (const NamedTensor& own : shared->tensors(linear.module)) parts_.erase(own.name);
    if (shared->difference() != nullptr) {
      const auto sum = plain_weight(shared->dense(), model_.dtype(), model_.architecture().conv1d);
      for (NamedTensor& tensor : sum->tensors(linear.module)) sums_.push_back(std::move(tensor));
      return;
    }
    storage_.push_back({linear.module, class_name, shared->base()->config()});
    for (const NamedTensor& tensor : shared->base()->tensors(shared->module())) {
      parts_[linear.module + tensor.name.substr(shared->module().size())] = {tensor.name};
    }
  }

  Json config() const {
    Json config = model_.checkpoint().config();
    config.erase("quantization_config");
    TerseConfig ours = TerseConfig::of(config);
    ours.groups.clear();
    config.erase("terse_config");
    if (!ours.shape.is_null()) config["terse_config"] = ours.to_json();
    add_storage_config(config, storage_, storage_context(model_));
    return config;
  }

  Model model_;
  std::map<std::string, TensorPart> parts_;
  std::vector<ModuleStorage> storage_;
  std::vector<NamedTensor> sums_;
};

}  // namespace

Checkpoint expanded(const Model& model, const std::filesystem::path& folder) {
  return model.shares_any() ? Expansion(model).write(folder) : model.checkpoint();
}

}  // namespace terse
