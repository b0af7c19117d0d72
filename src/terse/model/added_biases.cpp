#include "terse/model/added_biases.h"

#include <algorithm>
#include <optional>

#include "terse/core/error.h"
#include "terse/model/block_shapes.h"

namespace terse {
namespace {

// Keys of families by which linears get biases.
constexpr const char* kAttention = "attention_bias";
constexpr const char* kMlp = "mlp_bias";

std::set<LinearRole> biases_of(const Json& config) {
  return parse_architecture(config).biases;
}

// The config with the fewest biases among those that the family's keys can say.
std::optional<Json> family_config(const Json& config, const std::set<LinearRole>& wanted) {
  for (const std::set<const char*>& keys :
       {std::set<const char*>{kAttention}, {kMlp}, {kAttention, kMlp}}) {
    Json changed = config;
    for (const char* key : keys) changed[key] = true;
    if (std::ranges::includes(biases_of(changed), wanted)) return changed;
  }
  return std::nullopt;
}

Json config_with(const Model& model, const std::set<LinearRole>& wanted) {
  Json config = model.checkpoint().config();
  const Architecture& a = model.architecture();
  if (auto plain = family_config(config, wanted)) return *plain;
  Architecture biased = a;
  biased.biases = wanted;
  write_block_shapes(config, biased);
  return config;
}

}  // namespace

AddedBiases add_biases(const Model& model, const std::set<LinearRole>& roles) {
  const Architecture& a = model.architecture();
  std::set<LinearRole> wanted = a.biases;
  wanted.insert(roles.begin(), roles.end());
  AddedBiases added{model.checkpoint().config(), {}};
  if (wanted == a.biases) return added;
  added.config = config_with(model, wanted);
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    for (const LinearRole role : biases_of(added.config)) {
      const auto there = a.roles(block);
      if (a.biases.contains(role) || std::ranges::find(there, role) == there.end()) continue;
      const Vector zeros = Vector::Zero(a.out_features(block, role));
      added.tensors.push_back(
          {model.linear_module(block, role) + ".bias", Tensor::from_vector(model.dtype(), zeros)});
    }
  }
  return added;
}

}  // namespace terse
