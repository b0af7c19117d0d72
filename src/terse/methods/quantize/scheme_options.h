// The options that methods with uniform grids share.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "terse/methods/method.h"
#include "terse/methods/quantize/grid.h"

namespace terse {

/// bits, strategy, group_size, symmetric, clip, scale_dtype, activations, activation_bits,
/// activation_symmetric; then `more`.
std::vector<MethodOption> with_scheme_options(std::vector<MethodOption> more);

/// The scheme that options ask for; scale_dtype "model" is the model's type where scales can be
/// stored in it (float16, bfloat16, float32), else float32. `actorder` stays none.
QuantizationScheme parse_scheme(const MethodOptions& options, const MethodContext& context);

/// Ranges where the scheme's activations are static.
StatisticsNeeds scheme_needs(const QuantizationScheme& scheme);

/// Sets the grid of static inputs, to the smallest and largest of all inputs of the linear; leaves
/// a scheme without one as it is. Errors: failed when the ranges were not taken, bad_input when an
/// input is not finite.
void set_input_grid(const LinearProblem& problem, QuantizedMatrix& result);

/// Grids of a scheme, clipped as options ask for.
GridOptions parse_grid(const MethodOptions& options, const QuantizationScheme& scheme);

/// Errors: bad_usage when the scheme's group size does not divide the input width; names the linear
/// and the nearest sizes that do.
void check_width(const std::string& name, std::int64_t width, const QuantizationScheme& scheme);

/// check_width, and bad_input when the weight is empty or a value is not finite.
void check_weight(const LinearProblem& problem, const QuantizationScheme& scheme);

/// A result for a weight [rows, columns]: the scheme set, codes, scales and zeros allocated.
QuantizedMatrix empty_result(const QuantizationScheme& scheme, std::int64_t rows,
                             std::int64_t columns);

}  // namespace terse
