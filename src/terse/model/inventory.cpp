#include "terse/model/inventory.h"

#include <map>

namespace terse {
namespace {

// Tensors of the checkpoint by module (the name up to its last dot).
std::map<std::string, std::vector<std::string>> tensors_by_module(const Checkpoint& checkpoint) {
  std::map<std::string, std::vector<std::string>> modules;
  for (const std::string& name : checkpoint.names())
    modules[name.substr(0, name.rfind('.'))].push_back(name);
  return modules;
}

class Counter {
 public:
  explicit Counter(const Model& model)
      : checkpoint_(model.checkpoint()), modules_(tensors_by_module(model.checkpoint())) {}

  // Adds a module whose matrix has `parameters` values; vectors beside it count by their size.
  void add_matrix(const std::string& role, const std::string& module, std::int64_t parameters) {
    InventoryRow& row = row_of(role);
    ++row.count;
    row.parameters += parameters;
    for (const std::string& name : modules_[module]) {
      const Tensor tensor = checkpoint_.tensor(name);
      row.bytes += tensor.bytes().size();
      if (name == module + ".bias") row.parameters += tensor.elements();
    }
    const bool packed = checkpoint_.contains(module + ".weight_packed");
    if (row.kind.empty()) {
      row.kind = packed ? "packed integers"
                        : dtype_torch_name(checkpoint_.tensor(module + ".weight").dtype());
    }
    compressed_ += packed ? 1 : 0;
  }

  void add_vectors(const std::string& role, const std::string& module) {
    for (const std::string& name : modules_[module]) {
      InventoryRow& row = row_of(role);
      const Tensor tensor = checkpoint_.tensor(name);
      ++row.count;
      row.parameters += tensor.elements();
      row.bytes += tensor.bytes().size();
      if (row.kind.empty()) row.kind = dtype_torch_name(tensor.dtype());
    }
  }

  Inventory finish() {
    Inventory inventory{std::move(rows_), 0, 0, compressed_, 0};
    for (const InventoryRow& row : inventory.rows) {
      inventory.parameters += row.parameters;
      inventory.bytes += row.bytes;
    }
    return inventory;
  }

 private:
  InventoryRow& row_of(const std::string& role) {
    for (InventoryRow& row : rows_) {
      if (row.role == role) return row;
    }
    rows_.push_back({role, 0, 0, 0, ""});
    return rows_.back();
  }

  const Checkpoint& checkpoint_;
  std::map<std::string, std::vector<std::string>> modules_;
  std::vector<InventoryRow> rows_;
  std::int64_t compressed_ = 0;
};

}  // namespace

Inventory take_inventory(const Model& model) {
  const Architecture& a = model.architecture();
  Counter counter(model);
  counter.add_matrix(model.tied() ? "embedding and head (tied)" : "embedding", model.tied_module(),
                     a.vocab_size * a.embedding_size);
  if (a.learned_positions) counter.add_vectors("positions", model.positions_module());
  if (a.projected_embeddings) {
    counter.add_matrix("projections", model.project_in_module(), a.embedding_size * a.hidden_size);
    counter.add_matrix("projections", model.project_out_module(), a.embedding_size * a.hidden_size);
  }
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    for (const auto& entry : a.linears) {
      counter.add_matrix(std::string(role_name(entry.first)),
                         model.linear_module(block, entry.first),
                         a.out_features(entry.first) * a.in_features(entry.first));
    }
    for (const auto& entry : a.norms) {
      if (entry.first != NormRole::final)
        counter.add_vectors("norms", model.norm_module(block, entry.first));
    }
  }
  if (a.final_norm) counter.add_vectors("norms", model.norm_module(0, NormRole::final));
  if (!model.tied()) counter.add_matrix("head", a.head, a.vocab_size * a.embedding_size);
  Inventory inventory = counter.finish();
  inventory.linear_modules = a.num_hidden_layers * static_cast<std::int64_t>(a.linears.size());
  return inventory;
}

}  // namespace terse
