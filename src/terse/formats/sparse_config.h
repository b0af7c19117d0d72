// What config.json says of sparse weights: our key `terse_config`, and the sparsity_config that
// compressed-tensors wrote until 2026.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "terse/core/json.h"
#include "terse/formats/quantized_matrix.h"

namespace terse {

/// How a sparse matrix is laid out: the kept elements of each row one after the other with a bit
/// for each element of the matrix (bitmap), or the same with just two kept of each four (2:4).
enum class SparseLayout { bitmap, two_four };

/// "bitmap", "2:4".
std::string_view layout_name(SparseLayout layout);

/// Sparse modules that are stored alike.
struct SparseGroup {
  std::vector<std::string> targets;  ///< Whole names of modules.
  SparseLayout layout = SparseLayout::bitmap;
  std::optional<QuantizationScheme> scheme;  ///< None: real numbers.

  bool operator==(const SparseGroup&) const = default;
};

/// The value of `terse_config`: {"version": 1, "groups": [{"targets": [...], "layout": "2:4",
/// "quantization": scheme_json, absent for real numbers}]}.
struct SparseConfig {
  std::vector<SparseGroup> groups;

  bool operator==(const SparseConfig&) const = default;

  Json to_json() const;

  /// Errors: bad_input naming the key: another version or layout, a target twice, and those of
  /// parse_scheme_json.
  static SparseConfig parse(const Json& json);

  /// The group of a module, or nullptr.
  const SparseGroup* group_for(std::string_view module_name) const;
};

/// The layout that a quantization_config of compressed-tensors says for sparse weights of real
/// numbers in its `sparsity_config`; none without one. Its `targets` and `ignore` are not needed:
/// a module is sparse if it has the tensors. Errors: bad_input for another format.
std::optional<SparseLayout> legacy_sparse_layout(const Json& quantization_config);

}  // namespace terse
