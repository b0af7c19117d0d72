// Where numbers of a forward pass stop being finite.
#pragma once

#include <cstdint>
#include <span>

#include "terse/model/model.h"

namespace terse {

/// Computes a sequence once more, block by block, and names the first block whose output holds NaN
/// or infinity; for passes whose results do. The model must be loaded. Errors: failed.
void require_finite_blocks(const Model& model, std::span<const std::int32_t> tokens);

}  // namespace terse
