#include "terse/search/embeddings_model.h"

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "terse/model/storage_config.h"
#include "terse/recipe/embeddings.h"

namespace terse {
namespace {

namespace fs = std::filesystem;

std::set<std::string> modules_of(const Model& model) {
  std::set<std::string> modules{model.embedding_module(), model.head_module()};
  modules.insert(model.tied_module());
  return modules;
}

std::set<std::string> tensors_of(const Model& model) {
  std::set<std::string> names;
  for (const std::string& module : modules_of(model)) {
    for (const std::string& name : model.checkpoint().names_of(module)) {
      if (name != module + ".bias") names.insert(name);
    }
  }
  return names;
}

Checkpoint rounded(const Model& model, const Recipe& recipe, const fs::path& file) {
  const BlockResult result = compress_embeddings(model, recipe);
  write_safetensors(file, result.tensors);
  std::vector<ModuleStorage> modules;
  for (const LinearReport& linear : result.linears) {
    const bool head = !model.tied() && linear.module == model.head_module();
    modules.push_back({linear.module, head ? "Linear" : "Embedding", linear.storage});
  }
  Json config = model.checkpoint().config();
  add_storage_config(config, modules, storage_context(model));
  Checkpoint overlay = model.checkpoint().overlaid({file}, tensors_of(model), std::move(config));
  // Mapped files are there as long as they are mapped.
  fs::remove(file);
  return overlay;
}

}  // namespace

std::uint64_t embeddings_bytes(const Model& model) {
  std::uint64_t bytes = 0;
  for (const std::string& name : tensors_of(model)) {
    bytes += model.checkpoint().tensor(name).bytes().size();
  }
  return bytes;
}

EmbeddingsModel::EmbeddingsModel(const Model& reference, const Recipe& recipe, const fs::path& file)
    : model(std::make_shared<const Checkpoint>(rounded(reference, recipe, file))),
      bytes(embeddings_bytes(model)) {
  model.load_head();
}

}  // namespace terse
