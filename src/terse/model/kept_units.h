// A smaller model made of units of a larger one: whole blocks, heads, MLP channels.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "terse/model/model.h"

namespace terse {

/// What stays of a block. Units by number, ascending; without a value: all of them. Where none of a
/// kind stays, the block has no attention, or no MLP, any more.
struct KeptBlock {
  using Units = std::optional<std::vector<std::int64_t>>;

  std::int64_t block = 0;
  Units key_value_heads = {};
  /// As many for every key-value head that stays; without a value all that read these.
  Units attention_heads = {};
  Units channels = {};  ///< Of the MLP: gate, up and down together.
  /// Values of the residual stream: the same of every block, of embedding, head and norms. Norms
  /// are then made up for by norm_scale (narrowed.h).
  Units hidden = {};
  /// All attention heads stay; those of a key-value head that goes read the one before it. Possible
  /// where as many share each one that stays.
  bool shared_key_values = false;

  bool operator==(const KeptBlock&) const = default;
};

/// Shape of what stays of a block. Errors: bad_usage for heads that are not there, or that do not
/// share their keys and values evenly.
BlockShape kept_shape(const Architecture& a, const KeptBlock& kept);

/// Outputs and inputs of a linear, by number; without a value: all of them.
struct KeptFeatures {
  KeptBlock::Units outputs;
  KeptBlock::Units inputs;
};

/// What of a linear the units of a block stand for: of an MLP linear the channels, of an attention
/// linear the heads.
KeptFeatures kept_features(const Architecture& a, LinearRole role, const KeptBlock& kept);

/// Query heads of a block that read the same keys and values.
std::int64_t queries_per_key_value_head(const Architecture& a, std::int64_t block);

/// The checkpoint of what stays, with the config of the family that says its shape; where the
/// family cannot say it, as where blocks differ, terse_config does (block_shapes.h). Nothing is
/// copied before it is asked for. Blocks are numbered anew. `kept` is not empty. Errors: as
/// kept_shape.
Checkpoint keep_units(const Model& model, const std::vector<KeptBlock>& kept);

/// What stays, as text for a file, and read again. Errors: bad_input.
Json to_json(const std::vector<KeptBlock>& kept);
std::vector<KeptBlock> parse_kept_blocks(const Json& json);

}  // namespace terse
