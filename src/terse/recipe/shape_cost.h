// What the blocks of a model of some shape cost per token.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "terse/core/dtype.h"
#include "terse/model/architecture.h"

namespace terse {

/// Multiply-adds per token: of the linears, of what is beside the residual stream, and of attention
/// to half of a default window.
double block_operations(const Architecture& a);

/// Seconds per token of the products of blocks on this machine, one row at a time as in generation,
/// with weights of each shape read from memory. A shape is measured once.
class BlockTimer {
 public:
  explicit BlockTimer(DType dtype) : dtype_(dtype) {}

  double seconds(const Architecture& a);

 private:
  double product_seconds(std::int64_t rows, std::int64_t columns);

  DType dtype_;
  std::map<std::pair<std::int64_t, std::int64_t>, double> measured_;
};

}  // namespace terse
