#include "terse/model/inventory.h"

namespace terse {
namespace {

class Counter {
 public:
  explicit Counter(const Model& model) : model_(model), checkpoint_(model.checkpoint()) {}

  // Adds a module whose matrix has `parameters` values; a bias beside it counts by its size. What a
  // module has from another one is counted there.
  void add_matrix(const std::string& role, const std::string& module, const char* class_name,
                  std::int64_t parameters) {
    InventoryRow& row = row_of(role, model_.stored_kind(module, class_name));
    ++row.count;
    const bool shared = model_.weight_owner(module) != module;
    row.parameters += shared ? 0 : parameters;
    for (const std::string& name : checkpoint_.names_of(module)) {
      row.bytes += stored_bytes(checkpoint_, name);
      if (shared || name == module + ".bias") {
        row.parameters += element_count(checkpoint_.shape(name));
      }
    }
    compressed_ += model_.stored_compressed(module, class_name) ? 1 : 0;
  }

  void add_vectors(const std::string& role, const std::string& module) {
    for (const std::string& name : checkpoint_.names_of(module)) {
      InventoryRow& row = row_of(role, std::string(dtype_torch_name(checkpoint_.dtype(name))));
      ++row.count;
      row.parameters += element_count(checkpoint_.shape(name));
      row.bytes += stored_bytes(checkpoint_, name);
    }
  }

  Inventory finish() {
    Inventory inventory{std::move(rows_), 0, 0, compressed_};
    for (const InventoryRow& row : inventory.rows) {
      inventory.parameters += row.parameters;
      inventory.bytes += row.bytes;
    }
    return inventory;
  }

 private:
  InventoryRow& row_of(const std::string& role, const std::string& kind) {
    for (InventoryRow& row : rows_) {
      if (row.role == role && row.kind == kind) return row;
    }
    rows_.push_back({role, 0, 0, 0, kind});
    return rows_.back();
  }

  const Model& model_;
  const Checkpoint& checkpoint_;
  std::vector<InventoryRow> rows_;
  std::int64_t compressed_ = 0;
};

}  // namespace

std::uint64_t stored_bytes(const Checkpoint& checkpoint, const std::string& name) {
  return static_cast<std::uint64_t>(element_count(checkpoint.shape(name))) *
         dtype_size(checkpoint.dtype(name));
}

Inventory take_inventory(const Model& model) {
  const Architecture& a = model.architecture();
  Counter counter(model);
  counter.add_matrix(model.tied() ? "embedding and head (tied)" : "embedding", model.tied_module(),
                     "Embedding", a.vocab_size * a.embedding_size);
  if (a.learned_positions) counter.add_vectors("positions", model.positions_module());
  if (a.projected_embeddings) {
    counter.add_matrix("projections", model.project_in_module(), "Linear",
                       a.embedding_size * a.hidden_size);
    counter.add_matrix("projections", model.project_out_module(), "Linear",
                       a.embedding_size * a.hidden_size);
  }
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    for (const LinearKey& key : a.block_linears(block)) {
      counter.add_matrix(std::string(role_name(key.role)), model.linear_module(block, key),
                         "Linear",
                         a.out_features(block, key.role) * a.in_features(block, key.role));
    }
    if (a.has_experts(block)) {
      counter.add_matrix("router", model.router_module(block), "Linear",
                         a.shape(block).num_experts * a.hidden_size);
    }
    if (a.shortcuts) {
      for (const ShortcutRole role : {ShortcutRole::attention, ShortcutRole::mlp}) {
        counter.add_matrix("shortcuts", model.shortcut_module(block, role), "Linear",
                           a.hidden_size * a.hidden_size);
      }
    }
    for (const NormRole role : a.norm_roles(block)) {
      counter.add_vectors("norms", model.norm_module(block, role));
    }
  }
  if (a.final_norm) counter.add_vectors("norms", model.norm_module(0, NormRole::final));
  if (!model.tied()) counter.add_matrix("head", a.head, "Linear", a.vocab_size * a.embedding_size);
  return counter.finish();
}

}  // namespace terse
