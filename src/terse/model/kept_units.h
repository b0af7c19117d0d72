// A smaller model made of units of a larger one: whole blocks, heads, MLP channels.
#pragma once

#include <cstdint>
#include <vector>

#include "terse/model/model.h"

namespace terse {

/// What stays of a block. Units by number, ascending; empty: all of them.
struct KeptBlock {
  std::int64_t block = 0;
  std::vector<std::int64_t> key_value_heads = {};  ///< With all query heads that read them.
  std::vector<std::int64_t> channels = {};         ///< Of the MLP: gate, up and down together.
};

/// Outputs and inputs of a linear, by number; both empty: all of them.
struct KeptFeatures {
  std::vector<std::int64_t> outputs;
  std::vector<std::int64_t> inputs;
};

/// What of a linear the units of a block stand for: of an MLP linear the channels, of an attention
/// linear the heads.
KeptFeatures kept_features(const Architecture& a, LinearRole role, const KeptBlock& kept);

/// Query heads that read the same keys and values.
std::int64_t queries_per_key_value_head(const Architecture& a);

/// The checkpoint of what stays, with a config of the same family that says its shape; nothing is
/// copied before it is asked for. Blocks are numbered anew. `kept` is not empty, and its blocks
/// keep as many heads and channels each. Errors: bad_usage when the family's config cannot say such
/// a shape.
Checkpoint keep_units(const Model& model, const std::vector<KeptBlock>& kept);

}  // namespace terse
