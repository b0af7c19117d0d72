// How large the inputs of a linear are.
#pragma once

#include "terse/core/tensor.h"
#include "terse/methods/input_statistics.h"

namespace terse {

/// The root mean square of each input to the power of `alpha`, as a share of the largest and not
/// below a millionth of it. Errors: failed without norms, or when all inputs were zero.
Vector input_sizes(const InputStatistics* inputs, double alpha);

}  // namespace terse
