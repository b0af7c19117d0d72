// The registry of model families: one file under families/ each.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "terse/model/architecture.h"

namespace terse {

/// Maps a config.json of the family to an Architecture.
using FamilyParser = std::function<Architecture(const Json& config)>;

/// Parsers by `model_type`.
std::map<std::string, FamilyParser>& family_registry();

/// Registers a family when the library is loaded.
struct FamilyRegistration {
  FamilyRegistration(const std::string& model_type, FamilyParser parser) {
    family_registry().emplace(model_type, std::move(parser));
  }
};

/// What decoder families of the Llama kind share: sizes, RMS norms, rotary positions, gated MLP
/// and tensor names. Where config.json lacks `num_key_value_heads` the family's own default counts
/// (0: as many as attention heads); where it holds null, as many as attention heads.
Architecture llama_like(const Json& config, std::int64_t key_value_heads_absent = 0);

/// Sizes under the usual keys (hidden_size, num_hidden_layers, num_attention_heads, vocab_size),
/// with scale from them, and head_dim where the family has none of its own.
void read_sizes(const Json& config, Architecture& architecture,
                std::optional<std::int64_t> head_dim = {});

/// Rotary settings: `rope_theta` and `rope_scaling`, or the newer `rope_parameters`. `dimensions`
/// must be set before, since yarn's defaults need it.
void read_rope(const Json& config, Architecture& architecture);

/// "silu", "gelu", "gelu_new", … Errors: bad_input naming the key and the value.
Activation read_activation(const Json& config, const std::string& key, const std::string& absent);

/// Errors (bad_input) unless `key` is absent or holds `expected`.
void require_value(const Json& config, const std::string& key, const Json& expected);

}  // namespace terse
