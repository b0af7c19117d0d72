// Linears that have their weights from others.
#pragma once

#include <cstdint>
#include <vector>

#include "terse/model/model.h"

namespace terse {

/// A linear of a block whose weight is that of the same linear of another block, plus a difference
/// of low rank (model/weights/shared.h).
struct SharedLinear {
  std::int64_t block;
  LinearRole role;
  std::int64_t source;    ///< The other block.
  std::int64_t rank = 0;  ///< Of the difference; 0: there is none.

  bool operator==(const SharedLinear&) const = default;
};

/// The checkpoint in which these linears are shared, with no difference yet: factors are zeros.
/// Nothing is copied before it is asked for. Errors: bad_usage for blocks of different shape.
Checkpoint share_linears(const Model& model, const std::vector<SharedLinear>& shared);

/// Errors: bad_usage, naming both, when these blocks have not the same linears of the same shapes.
void require_same_linears(const Architecture& a, std::int64_t block, std::int64_t other);

}  // namespace terse
