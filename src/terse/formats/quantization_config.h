// `quantization_config` of a config.json, in the words of compressed-tensors
// (https://github.com/vllm-project/compressed-tensors, quantization/quant_config.py, quant_args.py,
// utils/match.py).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "terse/core/json.h"
#include "terse/formats/quantized_matrix.h"

namespace terse {

/// Modules that share a scheme. A target is the class of a module ("Linear", "Embedding"), the
/// whole name of a module, or "re:" and a regular expression that matches from the name's start.
struct QuantizationGroup {
  std::vector<std::string> targets;
  QuantizationScheme scheme;

  bool operator==(const QuantizationGroup&) const = default;
};

/// Which modules a checkpoint stores in the layout of pack_quantized.h or int_quantized.h, and how.
/// Which of the two it is, the tensors of a module say.
struct QuantizationConfig {
  std::vector<QuantizationGroup> groups;
  std::vector<std::string> ignore;  ///< Targets that stay as they are.

  bool operator==(const QuantizationConfig&) const = default;

  /// Every key that readers of the format look at. The scale's type is not among them: it is
  /// that of the stored tensor.
  Json to_json() const;

  /// Errors: bad_input, naming the key and what it holds: another method, format or type, more or
  /// fewer bits than 2 to 8, activations quantised other than per token (dynamic) or per tensor
  /// (static), a target twice, a regular expression that is none. The schemes' scale_dtype is left
  /// at its default. A sparsity_config is left to legacy_sparse_layout (sparse_config.h); beside
  /// one there need be no groups.
  static QuantizationConfig parse(const Json& json);

  /// The scheme of a module, or nullptr when it is not quantised: ignored or not a target. A
  /// target that is the name wins over a regular expression, and that over the class; of several
  /// expressions the first in alphabetical order. Errors: bad_input for a regular expression that
  /// takes too long.
  const QuantizationScheme* scheme_for(std::string_view module_name,
                                       std::string_view module_class) const;
};

/// The layout that weights of a scheme are written in, in the words of compressed-tensors:
/// "int-quantized" for 8 bits with quantised activations, which is what readers have kernels for,
/// else "pack-quantized".
std::string_view format_name(const QuantizationScheme& scheme);

/// A scheme as `weights`, `input_activations` and `output_activations` of a config group, and back.
/// Errors: as QuantizationConfig::parse.
Json scheme_json(const QuantizationScheme& scheme);
QuantizationScheme parse_scheme_json(const Json& group);

/// A whole config group but for its targets: scheme_json and the `format`.
Json group_json(const QuantizationScheme& scheme);

std::string_view strategy_name(QuantizationStrategy strategy);

}  // namespace terse
