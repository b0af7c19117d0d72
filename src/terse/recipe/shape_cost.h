// What the blocks of a model of some shape cost per token.
#pragma once

#include "terse/core/dtype.h"
#include "terse/model/architecture.h"

namespace terse {

/// Multiply-adds per token: of the linears, of what is beside the residual stream, and of attention
/// to half of a default window.
double block_operations(const Architecture& a);

/// Seconds per token of the products of blocks on this machine, one row at a time as in generation,
/// with weights of `dtype` read from memory. A shape of weight is measured once in a process.
/// Not for several threads at once.
double block_seconds(const Architecture& a, DType dtype);

}  // namespace terse
