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

/// Which modules a checkpoint stores in the layout of pack_quantized.h, and how.
struct QuantizationConfig {
  std::vector<QuantizationGroup> groups;
  std::vector<std::string> ignore;  ///< Targets that stay as they are.

  bool operator==(const QuantizationConfig&) const = default;

  /// Every key that readers of the format look at. The scale's type is not among them: it is
  /// that of the stored tensor.
  Json to_json() const;

  /// Errors: bad_input, naming the key and what it holds: another method, format or type, more or
  /// fewer bits than 2 to 8, quantised activations, a target twice, a regular expression that is
  /// none. The schemes' scale_dtype is left at its default.
  static QuantizationConfig parse(const Json& json);

  /// The scheme of a module, or nullptr when it is not quantised: ignored or not a target. A
  /// target that is the name wins over a regular expression, and that over the class; of several
  /// expressions the first in alphabetical order. Errors: bad_input for a regular expression that
  /// takes too long.
  const QuantizationScheme* scheme_for(std::string_view module_name,
                                       std::string_view module_class) const;
};

std::string_view strategy_name(QuantizationStrategy strategy);

}  // namespace terse
