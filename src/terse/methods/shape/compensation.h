// What makes up for inputs of a linear that go: the inputs that stay are weighted anew, in closed
// form, so that the linear's outputs on the calibration text change least.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "terse/core/method_registry.h"
#include "terse/methods/input_statistics.h"

namespace terse {

enum class Compensation {
  none,
  bias,           ///< The mean of what went, as a bias: FLAP (An et al. 2023), equation 6.
  least_squares,  ///< The weights that lose least: the full solution of OBS for a group of inputs
                  ///< (Hassibi and Stork 1993, equation 5, for more than one weight).
  affine,         ///< Both together: least squares with a bias.
};

/// An option "compensation" with these names.
MethodOption compensation_option(std::string_view absent);
Compensation read_compensation(const MethodOptions& options);

/// Whether biases come to linears that have none.
bool adds_bias(Compensation compensation);

/// What must be known of the inputs.
StatisticsNeeds statistics_of(Compensation compensation);

struct Compensated {
  Matrix weight;  ///< [out, in]; the columns of inputs that go are 0.
  Vector bias;    ///< To be added to the linear's [out]; empty where nothing is.
};

/// The weight W [out, in] of a linear of which the inputs `kept` (ascending) stay. Least squares:
/// the W' that minimises |X W^T - X' W'^T|^2 + d |W' - W|^2 over the kept columns, where d is
/// `percdamp` times the mean of the diagonal of the second moments: never a larger error on the
/// calibration text than without it. Errors: failed when statistics are absent.
Compensated compensate(const Matrix& weight, const std::vector<std::int64_t>& kept,
                       const InputStatistics* inputs, Compensation compensation,
                       double percdamp = 1e-6);

/// An option "compensation" of methods whose linears are solved for anew (`resolved`) or not;
/// `what` makes up: "the heads that went, in o_proj".
MethodOption resolving_option(std::string_view what);
bool read_resolving(const MethodOptions& options);

/// The weight [out, in] for inputs x_t that stand where `before` read y_t: the W' that minimises
/// |before Y - W' X|^2 + d |W' - now|^2 on the calibration text, with d as for `compensate`.
/// `inputs` are the second moments of x and its shift from y (input_shift.h). Errors: failed when
/// these are absent.
Matrix resolved(const Matrix& before, const Matrix& now, const InputStatistics& inputs,
                double percdamp = 1e-2);

}  // namespace terse
