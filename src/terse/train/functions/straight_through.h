// Rounding in training: its own derivative is zero, so gradients go past it.
#pragma once

#include <torch/torch.h>

#include "terse/formats/quantized_matrix.h"

namespace terse::train {

/// `value`, whose gradient times `factor` goes to x as it is: the straight-through estimator
/// (Bengio et al., arXiv 1308.3432). Of the same shape.
torch::Tensor straight_through(const torch::Tensor& x, const torch::Tensor& value,
                               double factor = 1.0);

/// `value` = step * k: x on a grid of `step`, k the integer nearest to x / step between bounds
/// lowest - zero and highest - zero. The bounds are not needed: x was clipped where it is more than
/// half a step from `value`. `step` and `zero` broadcast to x; `zero` may be undefined. Gradients,
/// summed over what shares a step:
///                   not clipped     clipped
///   d value/d x          1             0         Esser et al., LSQ, arXiv 1902.08153, equation 5
///   d value/d step   k - x/step        k         equation 3
///   d value/d zero       0           -step       Bhalgat et al., LSQ+, arXiv 2004.09576,
///                                                equation 4, with the offset -step * zero
torch::Tensor on_learned_grid(const torch::Tensor& x, const torch::Tensor& step,
                              const torch::Tensor& zero, const torch::Tensor& value);

/// The inputs x [rows, columns] of a linear on the dynamic grids of `scheme`, a grid for each row:
/// the numbers of round_activations (activation_grid.h), straight through.
torch::Tensor round_inputs(const ActivationScheme& scheme, const torch::Tensor& x);

/// Scales as `dtype` stores them, never zero or infinite (round_scale, grid.h); no gradients.
torch::Tensor rounded_scales(DType dtype, const torch::Tensor& scales);

}  // namespace terse::train
