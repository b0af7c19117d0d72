// Biases for linears that have none, so that a bias can be put there.
#pragma once

#include <set>
#include <vector>

#include "terse/model/model.h"

namespace terse {

/// What gives a model biases that compute nothing yet.
struct AddedBiases {
  Json config;                       ///< config.json that speaks of them.
  std::vector<NamedTensor> tensors;  ///< Zeros, for every block.
};

/// Biases for these roles of every block. Where the family has keys for biases (attention_bias,
/// mlp_bias) that cover them, other linears get zeros too and the result is a plain model of the
/// family; else terse_config speaks of them (block_shapes.h).
AddedBiases add_biases(const Model& model, const std::set<LinearRole>& roles);

}  // namespace terse
