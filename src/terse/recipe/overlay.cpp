#include "terse/recipe/overlay.h"

#include <map>
#include <set>

#include "terse/core/error.h"
#include "terse/formats/terse_config.h"
#include "terse/model/model.h"
#include "terse/model/storage_config.h"

namespace terse {
namespace {

namespace fs = std::filesystem;

// What a part puts over the checkpoint, in one of its forms.
struct Layer {
  std::vector<fs::path> files;
  std::map<std::string, Json> storage;  // Weight::config by module
};

void add_part(const Journal& journal, const PartRecord& part, PartForm form, Layer& layer) {
  if (!part.file.empty()) layer.files.push_back(journal.path(part.file));
  for (const LinearReport& linear : part.linears) layer.storage[linear.module] = linear.storage;
  if (form == PartForm::written || part.exact_file.empty()) return;
  layer.files.push_back(journal.path(part.exact_file));
  for (const auto& [module, config] : part.exact_storage) layer.storage[module] = config;
}

// Whatever stores the weights of modules before a part replaces them.
std::set<std::string> weights_of(const Checkpoint& checkpoint,
                                 const std::vector<std::string>& modules) {
  std::set<std::string> names;
  for (const std::string& module : modules) {
    for (const std::string& name : checkpoint.names_of(module)) {
      if (name != module + ".bias") names.insert(name);
    }
  }
  return names;
}

// A file may store both names of a tied matrix: the other one would contradict what replaces one.
std::vector<std::string> replaced_modules(const Model& model, const Layer& layer) {
  std::vector<std::string> modules;
  for (const auto& entry : layer.storage) {
    modules.push_back(entry.first);
    if (model.tied() && entry.first == model.tied_module()) {
      modules.push_back(model.embedding_module());
      modules.push_back(model.head_module());
    }
  }
  return modules;
}

// Blocks first, in their order, then embedding and head.
std::vector<ModuleStorage> in_order(const Model& model,
                                    const std::map<std::string, Json>& storage) {
  std::vector<ModuleStorage> modules;
  const auto add = [&](const std::string& module, const char* class_name) {
    const auto found = storage.find(module);
    if (found != storage.end()) modules.push_back({module, class_name, found->second});
  };
  const char* linear = model.architecture().conv1d ? "Conv1D" : "Linear";
  for (const LinearPlace& place : linear_places(model)) add(place.module, linear);
  add(model.embedding_module(), "Embedding");
  if (model.head_module() != model.embedding_module()) add(model.head_module(), "Linear");
  return modules;
}

std::vector<Layer> layers_of(const Journal& journal, PartForm form) {
  std::vector<Layer> layers;
  for (const PassRecord& pass : journal.passes()) {
    Layer& layer = layers.emplace_back();
    for (const PartRecord& part : pass.blocks) add_part(journal, part, form, layer);
  }
  if (journal.embeddings()) add_part(journal, *journal.embeddings(), form, layers.emplace_back());
  return layers;
}

}  // namespace

Checkpoint overlay_parts(const Checkpoint& base, const Journal& journal, PartForm form) {
  const Model model(std::make_shared<const Checkpoint>(base));
  Checkpoint overlay = base;
  std::map<std::string, Json> storage;
  for (const StorageGroup& group : TerseConfig::of(base.config()).groups) {
    for (const std::string& module : group.targets) storage[module] = group.storage;
  }
  for (const Layer& layer : layers_of(journal, form)) {
    for (const auto& [module, config] : layer.storage) storage[module] = config;
    overlay = overlay.overlaid(layer.files, weights_of(overlay, replaced_modules(model, layer)),
                               base.config());
  }
  Json config = base.config();
  try {
    add_storage_config(config, in_order(model, storage), storage_context(model));
  } catch (const Json::exception& error) {
    throw bad_input("{}: says of a weight what cannot be: {}; use --restart to begin again",
                    journal.folder().string(), error.what());
  }
  return overlay.overlaid({}, {}, std::move(config));
}

std::vector<std::string> overlay_order(const Checkpoint& overlay, const Journal& journal) {
  std::vector<std::string> order;
  std::set<std::string> listed;
  const auto list = [&](const PartRecord& part) {
    if (part.file.empty()) return;
    const fs::path path = journal.path(part.file);
    for (const std::string& name : SafetensorsFile::open(path).names()) {
      if (!overlay.contains(name) || overlay.path_of(name) != path) continue;
      if (listed.insert(name).second) order.push_back(name);
    }
  };
  const std::size_t blocks = journal.passes().empty() ? 0 : journal.passes().back().blocks.size();
  for (std::size_t block = 0; block < blocks; ++block) {
    for (const PassRecord& pass : journal.passes()) list(pass.blocks[block]);
  }
  if (journal.embeddings()) list(*journal.embeddings());
  for (const std::string& name : overlay.names()) {
    if (!listed.contains(name)) order.push_back(name);
  }
  return order;
}

Tensor finite_tensor(const Checkpoint& checkpoint, const std::string& name) {
  Tensor tensor = checkpoint.tensor(name);
  if (is_floating(tensor.dtype()) && !all_finite(tensor)) {
    throw bad_input("{}: holds NaN or infinity; the checkpoint is damaged", name);
  }
  return tensor;
}

void write_tensors(const Checkpoint& checkpoint, const std::vector<std::string>& order,
                   CheckpointWriter& writer) {
  for (const std::string& name : order) {
    writer.add(
        name, checkpoint.dtype(name), checkpoint.shape(name),
        [&checkpoint, name] { return finite_tensor(checkpoint, name); },
        [&checkpoint, name] { checkpoint.drop_pages(name); });
  }
}

}  // namespace terse
