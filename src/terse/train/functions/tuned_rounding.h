// Rounding whose direction and range are trained (AutoRound, arXiv 2309.05516, section 3).
#pragma once

#include "terse/train/torch.h"

namespace terse::train {

/// step * (clamp(k + zero, 0, top) - zero) with k the integer nearest to values / step + offset:
/// `values` and `offset` of one shape [rows, groups, columns], `step` and `zero` broadcast to it.
/// Gradients take the rounding to have slope 1, as differentiating the paper's equation 3 does;
/// those of what is shared are summed. `values` have none.
torch::Tensor round_with_offset(const torch::Tensor& values, const torch::Tensor& offset,
                                const torch::Tensor& step, const torch::Tensor& zero, double top);

}  // namespace terse::train
