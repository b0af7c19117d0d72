// RMS norm as one differentiable function.
#pragma once

#include "terse/train/torch.h"

namespace terse::train {

/// x / sqrt(mean(x^2) + eps) * weight over the last dimension; x [..., size], weight [size] (Zhang
/// and Sennrich, arXiv 1910.07467).
torch::Tensor rms_norm(const torch::Tensor& x, const torch::Tensor& weight, double eps);

}  // namespace terse::train
