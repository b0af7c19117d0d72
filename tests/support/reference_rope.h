// Rotary position embeddings (Su et al. 2021) with the scalings of transformers'
// modeling_rope_utils.py.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "support/reference_math.h"

namespace terse::test {

// inverse_frequencies [rotary_dim / 2], in radians per position; cosine and sine are multiplied by
// attention_factor.
struct Rope {
  std::vector<double> inverse_frequencies;
  double attention_factor = 1;
};

// config["rope_scaling"], or the newer config["rope_parameters"], or an empty object.
nlohmann::json rope_parameters(const nlohmann::json& config);

// The frequencies for a forward pass over `length` positions. `theta` is the base that the config
// names outside of its rope parameters; a "rope_theta" inside of them wins.
Rope make_rope(const nlohmann::json& config, double theta, int rotary_dim, int length);

// Rotates the first rotary_dim features of every head; feature i pairs with i + rotary_dim / 2. Row
// t of x is position t.
Rows rotate(const Rows& x, int head_dim, const Rope& rope);

}  // namespace terse::test
