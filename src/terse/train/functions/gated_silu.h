// The gated activation of llama's MLP as one differentiable function.
#pragma once

#include "terse/train/torch.h"

namespace terse::train {

/// silu(gate) * up, elementwise (Shazeer, arXiv 2002.05202).
torch::Tensor gated_silu(const torch::Tensor& gate, const torch::Tensor& up);

}  // namespace terse::train
