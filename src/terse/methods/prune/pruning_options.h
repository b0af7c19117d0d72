// The options that methods of pruning share.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "terse/methods/method.h"

namespace terse {

/// n:m in the sense of SparseGPT (Frantar & Alistarh 2023, section 2: "each block of m consecutive
/// weights should contain exactly n zeros") and of the published code of SparseGPT and Wanda: n of
/// every m consecutive inputs of a row become zero. 2:4 keeps 2 of 4.
struct ZeroPattern {
  std::int64_t zeros;  ///< n, 1 to m - 1.
  std::int64_t size;   ///< m, 2 to kLargestPattern.
};

struct PruningOptions {
  double sparsity = 0.5;  ///< Share of the weights that become zero; n / m with a pattern.
  std::optional<ZeroPattern> pattern = {};
};

/// sparsity, structure, allocation (uniform, owl, and `more_allocations`), owl_lambda, owl_m; then
/// `more`.
std::vector<MethodOption> with_pruning_options(const std::vector<std::string>& more_allocations,
                                               std::vector<MethodOption> more);

/// Errors: bad_usage for a structure that is none, and for options that contradict each other.
PruningOptions parse_pruning(const MethodOptions& options);

/// Errors: bad_usage when a pattern does not divide the input width; names the linear and what
/// would.
void check_pattern(const std::string& name, std::int64_t width, const PruningOptions& pruning);

/// How many of `values` become zero: the nearest integer to their share.
std::int64_t zero_count(std::int64_t values, double sparsity);

}  // namespace terse
