// How much of a linear's output a compressed weight loses.
#pragma once

#include "terse/core/tensor.h"
#include "terse/methods/second_moments.h"

namespace terse {

/// sum_t (w_r x_t)^2 for each row w_r [columns] over the inputs of `moments` from `first` on:
/// the diagonal of W S W^T with a block of S = sum_t x_t x_t^T. One thread; takes two products of
/// W with a triangle of the block.
Eigen::VectorXd squared_outputs(const Matrix& rows, const SecondMoments& moments,
                                std::int64_t first = 0);

/// ||X (W - Q)^T||^2 / ||X W^T||^2 over the inputs X of `moments`, that is
/// tr(E H E^T) / tr(W H W^T) with E = W - Q; both weights are [out, in]. Takes two products of W
/// with a triangle of H. 0 when both are 0, infinity when only the output is.
double relative_output_error(const Matrix& weight, const Matrix& compressed,
                             const SecondMoments& moments);

}  // namespace terse
