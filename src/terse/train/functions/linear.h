// A linear whose bytes do not depend on the number of threads.
#pragma once

#include "terse/train/torch.h"

namespace terse::train {

/// x W^T + b for x [rows, in] and W [out, in]; b [out] may be undefined. Products are those of
/// matrix_product.h, forward and backward.
torch::Tensor apply_linear(const torch::Tensor& x, const torch::Tensor& weight,
                           const torch::Tensor& bias);

}  // namespace terse::train
