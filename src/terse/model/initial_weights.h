// Random weights for an architecture, as training from scratch begins with.
#pragma once

#include <cstdint>
#include <vector>

#include "terse/core/tensor.h"
#include "terse/model/architecture.h"

namespace terse {

/// Every tensor that a checkpoint of the architecture holds, by its name, in float32. Linears,
/// embeddings and positions are normal with `deviation` (transformers' `initializer_range`), those
/// that write to the residual stream with deviation / sqrt(2 blocks) (Radford et al., GPT-2,
/// section 2.3); norms are ones, biases zero. The same for a seed on every machine.
std::vector<NamedTensor> initial_weights(const Architecture& architecture, double deviation,
                                         std::uint64_t seed);

}  // namespace terse
