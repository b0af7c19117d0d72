// A part of the forward pass that is computed again for its gradients instead of being kept.
#pragma once

#include "terse/train/torch.h"

#include <functional>

namespace terse::train {

using Part = std::function<torch::Tensor(const torch::Tensor&)>;

/// part(x), of which x alone is kept (Chen et al., arXiv 1604.06174). The gradients of what the
/// part uses besides x are added to those tensors' own.
torch::Tensor recomputed(const Part& part, const torch::Tensor& x);

}  // namespace terse::train
