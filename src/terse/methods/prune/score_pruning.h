// Pruning by a score of every weight: which weights are compared with each other.
#pragma once

#include "terse/core/tensor.h"
#include "terse/methods/prune/pruning_options.h"

namespace terse {

/// Weights that are compared with each other where no n:m is asked for.
enum class Granularity { linear, row };

/// The option `granularity`.
MethodOption granularity_option();

/// Errors: bad_usage when it is given beside n:m.
Granularity parse_granularity(const MethodOptions& options, const PruningOptions& pruning);

/// Sets the weights [out, in] of smallest |score| to zero: n of every m inputs of a row, or the
/// share of each row or of all; among equals the earlier. `scores` has the weight's shape and may
/// be the weight itself.
void prune_smallest(Matrix& weight, const Matrix& scores, const PruningOptions& pruning,
                    Granularity granularity);

}  // namespace terse
