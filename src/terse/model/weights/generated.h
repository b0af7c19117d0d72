// Weights that no file holds: normal random numbers, made when they are loaded. A checkpoint of
// them is its config.json and a few vectors.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "terse/core/json.h"
#include "terse/formats/quantized_matrix.h"
#include "terse/formats/sparse_config.h"
#include "terse/model/weight.h"

namespace terse {

/// Which values are zero: as many as `share` says, those of the smallest magnitude; or the two
/// smallest of each four (2:4).
struct GeneratedSparsity {
  SparseLayout layout = SparseLayout::bitmap;
  double share = 0.5;  ///< Below 1; for 2:4 a half.

  bool operator==(const GeneratedSparsity&) const = default;
};

/// How the weight of a module is made.
struct GeneratedScheme {
  std::uint64_t seed = 0;
  double deviation = 0.02;
  std::optional<int> bits = {};  ///< 2 to 8, symmetric; none: bfloat16.
  std::int64_t group_size = 32;  ///< Columns that share a bfloat16 scale.
  std::optional<GeneratedSparsity> sparsity = {};

  bool operator==(const GeneratedScheme&) const = default;
};

/// Errors: bad_input unless it is the layout bitmap and a share between 0 and 1, or 2:4 and 0.5.
GeneratedSparsity generated_sparsity(std::string_view layout, double share);

/// What Weight::kind says of such a weight: "4 bits group 32".
std::string generated_kind(const GeneratedScheme& scheme);

/// What terse_config.h holds of such modules: {"layout": "generated", "seed": 0, "deviation": 0.02,
/// "bits": 4, "group_size": 32, "sparse_layout": "bitmap", "sparsity": 0.5}; integers without bits
/// and sparse ones without a layout are neither.
Json to_json(const GeneratedScheme& scheme);

/// None where the layout is another. Errors: bad_input naming the key.
std::optional<GeneratedScheme> parse_generated_scheme(const Json& json);

/// The weight of a module: values of N(0, deviation^2) to 16 bits of probability, pruned, then
/// rounded as `rtn` rounds (methods/quantize/grid.h). Rows depend on seed, module and their number
/// alone. Errors: bad_input where the group size does not divide the columns.
std::unique_ptr<Weight> generate_weight(const GeneratedScheme& scheme, std::string_view module,
                                        const Shape& shape,
                                        ActivationType activations = ActivationType::f32);

}  // namespace terse
