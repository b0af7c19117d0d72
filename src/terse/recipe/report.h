// What compression did: for people, scripts, and the journal of an unfinished run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "terse/core/json.h"

namespace terse {

/// What became of one linear.
struct LinearReport {
  std::string module;
  std::string kind;
  double relative_weight_error = 0;  ///< |W - W'|^2 / |W|^2
  std::optional<double> relative_output_error =
      {};  ///< |X (W - W')^T|^2 / |X W^T|^2, where second moments were taken
  std::optional<double> sparsity = {};  ///< Share of zeros, where something was pruned.
  Json storage = {};                    ///< What config.json must say of it (Weight::config).

  bool operator==(const LinearReport&) const = default;
};

Json to_json(const LinearReport& report);
/// Errors: bad_input.
LinearReport parse_linear_report(const Json& json);

struct CompressionReport {
  std::vector<LinearReport> linears;
  /// What a person should know: raised damping, scales that could not be folded.
  std::vector<std::string> notes;
  std::int64_t parameters = 0;  ///< Of the model; tied ones once.
  std::uint64_t bytes_before = 0;
  std::uint64_t bytes_after = 0;
  double bits_per_weight_before = 0;
  double bits_per_weight = 0;         ///< Stored bits of all tensors over all parameters.
  double linear_bits_per_weight = 0;  ///< Of the compressed linears alone, scales included.
  std::string calibration_source;     ///< Empty: no method needs any.
  std::int64_t calibration_tokens = 0;
  std::int64_t resumed_blocks = 0;  ///< Blocks that an earlier run had finished.
};

}  // namespace terse
