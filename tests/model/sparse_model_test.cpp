// Whole models whose linears are stored sparse: what is loaded, computed and counted.
#include <gtest/gtest.h>

#include <set>

#include "support/family_variants.h"
#include "support/logits.h"
#include "support/temporary_directory.h"
#include "terse/formats/checkpoint_writer.h"
#include "terse/model/cpu_operations.h"
#include "terse/model/inventory.h"
#include "terse/model/storage_config.h"
#include "terse/model/weights/storage.h"

namespace terse {
namespace {

namespace fs = std::filesystem;

Matrix two_of_four(Matrix values) {
  for (std::int64_t r = 0; r < values.rows(); ++r) {
    for (std::int64_t c = 0; c < values.cols(); ++c) {
      if ((c + r) % 4 < 2) values(r, c) = 0;
    }
  }
  return values;
}

// The model at `from` with the linears of its blocks, its embedding and its head pruned.
void write_pruned(const fs::path& from, const fs::path& to, bool sparse) {
  Model model = Model::load(from);
  const bool conv1d = model.architecture().conv1d;
  CheckpointWriter writer(to);
  std::vector<ModuleStorage> modules;
  std::set<std::string> written;
  const auto prune = [&](const std::string& module, const char* class_name, const Weight& weight,
                         bool transposed) {
    const Matrix values = two_of_four(weight.dense());
    const auto stored = sparse ? smallest_weight(values, DType::bf16, transposed)
                               : plain_weight(values, DType::bf16, transposed);
    for (const NamedTensor& tensor : stored->tensors(module)) {
      writer.add(tensor.name, tensor.tensor);
    }
    modules.push_back({module, class_name, stored->config()});
    written.insert(module + ".weight");
  };
  for (std::int64_t block = 0; block < model.architecture().num_hidden_layers; ++block) {
    for (const auto& entry : model.block(block).linears) {
      prune(entry.second.module, conv1d ? "Conv1D" : "Linear", *entry.second.weight, conv1d);
    }
  }
  prune(model.tied_module(), "Embedding", model.embedding(), false);
  if (!model.tied()) prune(model.head_module(), "Linear", *model.head().weight, false);
  for (const std::string& name : model.checkpoint().names()) {
    if (!written.contains(name)) writer.add(name, model.checkpoint().tensor(name));
  }
  Json config = model.checkpoint().config();
  add_storage_config(config, modules, storage_context(model));
  writer.finish(config);
}

Matrix logits(const Model& model) {
  return test::logits_of(model, {test::some_tokens(7, 67)});
}

class SparseModel : public testing::TestWithParam<test::FamilyVariant> {};

TEST_P(SparseModel, ComputesTheSameBitsAndIsCountedAsItIs) {
  const test::TemporaryDirectory directory;
  test::write_checkpoint(GetParam().checkpoint(), directory / "model", "BF16");
  write_pruned(directory / "model", directory / "dense", false);
  write_pruned(directory / "model", directory / "sparse", true);
  EXPECT_FALSE(has_key(Checkpoint::open(directory / "dense").config(), "terse_config"));
  const Model dense = Model::load(directory / "dense");
  const Model sparse = Model::load(directory / "sparse");
  EXPECT_EQ(sparse.dtype(), DType::bf16);
  EXPECT_EQ(logits(sparse), logits(dense));

  const Inventory counted = take_inventory(sparse);
  const Inventory expected = take_inventory(dense);
  EXPECT_EQ(counted.parameters, expected.parameters);
  EXPECT_EQ(counted.bytes, sparse.checkpoint().total_bytes());
  EXPECT_LT(counted.bytes, expected.bytes);
  EXPECT_EQ(expected.compressed_modules, 0);
  EXPECT_GT(counted.compressed_modules, 0);
  for (const InventoryRow& row : counted.rows) {
    if (row.role == "norms" || row.role == "positions" || row.role == "projections" ||
        row.role == "router") {
      continue;
    }
    EXPECT_EQ(row.kind, "bfloat16 2:4") << row.role;
    EXPECT_LT(row.bits_per_weight(), 12) << row.role;  // 9, biases, and two numbers of a shape
  }
}

INSTANTIATE_TEST_SUITE_P(Families, SparseModel, testing::ValuesIn(test::family_variants()),
                         [](const auto& variant) { return variant.param.name; });

}  // namespace
}  // namespace terse
