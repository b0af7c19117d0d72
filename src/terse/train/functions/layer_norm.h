// Layer norm whose bytes do not depend on the number of threads.
#pragma once

#include "terse/train/torch.h"

namespace terse::train {

/// (x - mean) / sqrt(variance + eps) * weight + bias for each row of x [rows, size]; weight and
/// bias [size] (Ba et al., arXiv 1607.06450).
torch::Tensor layer_norm(const torch::Tensor& x, const torch::Tensor& weight,
                         const torch::Tensor& bias, double eps);

}  // namespace terse::train
