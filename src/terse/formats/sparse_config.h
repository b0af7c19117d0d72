// What config.json says of sparse weights: groups of our key (terse_config.h), and the
// sparsity_config that compressed-tensors wrote until 2026.
#pragma once

#include <optional>
#include <string_view>

#include "terse/core/json.h"
#include "terse/formats/quantized_matrix.h"

namespace terse {

/// How a sparse matrix is laid out: the kept elements of each row one after the other with a bit
/// for each element of the matrix (bitmap), or the same with just two kept of each four (2:4).
enum class SparseLayout { bitmap, two_four };

/// "bitmap", "2:4".
std::string_view layout_name(SparseLayout layout);

/// How sparse modules are stored.
struct SparseScheme {
  SparseLayout layout = SparseLayout::bitmap;
  std::optional<QuantizationScheme> quantization;  ///< None: real numbers.

  bool operator==(const SparseScheme&) const = default;
};

/// {"layout": "2:4", "quantization": scheme_json, absent for real numbers}: what terse_config.h
/// holds of sparse modules.
Json to_json(const SparseScheme& scheme);

/// None where the layout is not one of sparse weights. Errors: those of parse_scheme_json.
std::optional<SparseScheme> parse_sparse_scheme(const Json& json);

/// The layout that a quantization_config of compressed-tensors says for sparse weights of real
/// numbers in its `sparsity_config`; none without one. Its `targets` and `ignore` are not needed:
/// a module is sparse if it has the tensors. Errors: bad_input for another format.
std::optional<SparseLayout> legacy_sparse_layout(const Json& quantization_config);

}  // namespace terse
