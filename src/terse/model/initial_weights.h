// Random weights for an architecture, as training from scratch begins with.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "terse/core/tensor.h"
#include "terse/model/architecture.h"

namespace terse {

/// What a tensor begins as.
enum class InitialValues {
  normal,
  normal_to_residual,  ///< The same, of linears that write to the residual stream.
  ones,                ///< Norms.
  zeros,               ///< Biases.
};

/// A tensor that a checkpoint of an architecture holds.
struct InitialTensor {
  std::string name;
  Shape shape;
  InitialValues values;
};

/// All of them, embedding first and head last.
std::vector<InitialTensor> initial_tensors(const Architecture& architecture);

/// Their values, in float32. Normal ones have `deviation` (transformers' `initializer_range`),
/// those to the residual stream deviation / sqrt(2 blocks) (Radford et al., GPT-2, section 2.3).
/// The same for a seed on every machine.
std::vector<NamedTensor> initial_weights(const Architecture& architecture, double deviation,
                                         std::uint64_t seed);

}  // namespace terse
