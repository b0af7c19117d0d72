// Shapes that no family's config can say: what `terse_config` holds of them under "shape".
#pragma once

#include "terse/core/json.h"
#include "terse/model/architecture.h"

namespace terse {

/// Puts into `architecture` what a config.json says under terse_config.shape, where it says
/// anything: {"blocks": [{"num_attention_heads", "num_key_value_heads", "intermediate_size"}, one
/// for each block], "sliding_window": [one for each block], "attention_scale": [the same],
/// "biases": ["o_proj", linears that have biases besides those of the family], "shortcuts": true,
/// "head_dim", "norm": "rms" where the family's norms subtract a mean, "norm_eps", "head_bias":
/// true}. The sizes of the architecture become those of the largest block. Errors: bad_input.
void read_block_shapes(const Json& config, Architecture& architecture);

/// Writes into config.json what its family's own keys do not say of `wanted`, in place of what was
/// there of this kind. The number of blocks and all that does not depend on the block must be said
/// by the family's keys. Errors: bad_input when the config cannot be read.
void write_block_shapes(Json& config, const Architecture& wanted);

/// Whether all that depends on the block is the same of two models of a family.
bool same_blocks(const Architecture& x, const Architecture& y);

}  // namespace terse
