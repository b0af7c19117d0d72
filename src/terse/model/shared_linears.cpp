#include "terse/model/shared_linears.h"

#include <map>
#include <string>
#include <utility>

#include "terse/core/error.h"
#include "terse/model/storage_config.h"
#include "terse/model/weights/low_rank.h"
#include "terse/model/weights/shared.h"

namespace terse {
namespace {

// A factor [rows, columns] of zeros, of the type of a weight.
TensorPart zeros_like(const std::string& weight, std::int64_t rows, std::int64_t columns) {
  const auto numbers = [](std::int64_t count) {
    return std::vector<std::int64_t>(static_cast<std::size_t>(count), TensorPart::kZeros);
  };
  return {weight, numbers(rows), numbers(columns)};
}

void share(const Model& model, const SharedLinear& shared, std::map<std::string, TensorPart>& parts,
           std::vector<ModuleStorage>& storage) {
  const Architecture& a = model.architecture();
  require_same_linears(a, shared.block, shared.source);
  const std::string module = model.linear_module(shared.block, shared.role);
  const std::string weight = module + ".weight";
  parts.erase(weight);
  if (shared.rank > 0) {
    const auto name = [&](const char* factor) { return module + "." + factor + ".weight"; };
    parts[name(LowRank::kA)] =
        zeros_like(weight, shared.rank, a.in_features(shared.block, shared.role));
    parts[name(LowRank::kB)] =
        zeros_like(weight, a.out_features(shared.block, shared.role), shared.rank);
  }
  storage.push_back({module, "Linear",
                     shared_storage(model.linear_module(shared.source, shared.role), shared.rank)});
}

}  // namespace

Checkpoint share_linears(const Model& model, const std::vector<SharedLinear>& shared) {
  std::map<std::string, TensorPart> parts;
  for (const std::string& name : model.checkpoint().names()) parts[name] = {name};
  std::vector<ModuleStorage> storage;
  for (const SharedLinear& each : shared) share(model, each, parts, storage);
  Json config = model.checkpoint().config();
  add_storage_config(config, storage, storage_context(model));
  return model.checkpoint().of_parts(parts, std::move(config));
}

void require_same_linears(const Architecture& a, std::int64_t block, std::int64_t other) {
  if (a.shape(block) == a.shape(other)) return;
  throw bad_usage(
      "blocks {} and {} have different shapes and cannot share weights; share before a step that "
      "makes them different",
      other, block);
}

}  // namespace terse
