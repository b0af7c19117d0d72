// Rotary embedding as one differentiable function.
#pragma once

#include "terse/train/torch.h"

#include <cstdint>

namespace terse::train {

/// Turns the first 2 * pairs values of every head of x [sequences * length, heads * head_dim] by
/// its row's position; cosine and sine [length, pairs], in the half-split order (Su et al., arXiv
/// 2104.09864).
torch::Tensor rotate_heads(const torch::Tensor& x, const torch::Tensor& cosine,
                           const torch::Tensor& sine, std::int64_t head_dim);

}  // namespace terse::train
