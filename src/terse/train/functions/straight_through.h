// Rounding in training: its own derivative is zero, so gradients go past it.
#pragma once

#include "terse/train/torch.h"

#include "terse/formats/quantized_matrix.h"

namespace terse::train {

/// `value`, whose gradient times `factor` goes to x as it is: the straight-through estimator
/// (Bengio et al., arXiv 1308.3432). Of the same shape.
torch::Tensor straight_through(const torch::Tensor& x, const torch::Tensor& value,
                               double factor = 1.0);

/// `value` = step * k: x on a grid of `step`, k the integer nearest to x / step between two bounds.
/// The bounds are not needed: x was clipped where it is more than half a step from `value`. `step`
/// broadcasts to x. Gradients (Esser et al., LSQ, arXiv 1902.08153), summed over what shares a
/// step:
///                   not clipped     clipped
///   d value/d x          1             0         equation 5
///   d value/d step   k - x/step        k         equation 3
/// The paper counts values as clipped from the bounds on, half a step earlier: those of the first
/// and last code would then not learn at all where few codes are (2 bits), or where training begins
/// at codes.
torch::Tensor on_learned_grid(const torch::Tensor& x, const torch::Tensor& step,
                              const torch::Tensor& value);

/// The inputs x [rows, columns] of a linear on the dynamic grids of `scheme`, a grid for each row:
/// the numbers of round_activations (activation_grid.h), straight through.
torch::Tensor round_inputs(const ActivationScheme& scheme, const torch::Tensor& x);

/// `values` summed to the shape of `shared`, which broadcasts to them: first within rows, so that
/// the sum does not depend on the number of threads.
torch::Tensor sum_to(const torch::Tensor& values, const torch::Tensor& shared);

/// The points of a static input grid [1, 1] that are nearest to the inputs x of a linear: the
/// numbers of round_activations (activation_grid.h), without a gradient.
torch::Tensor on_static_grid(const ActivationScheme& scheme, const torch::Tensor& x,
                             const torch::Tensor& step, double zero);

/// Scales as `dtype` stores them, never zero or infinite (round_scale, grid.h); no gradients.
torch::Tensor rounded_scales(DType dtype, const torch::Tensor& scales);

}  // namespace terse::train
