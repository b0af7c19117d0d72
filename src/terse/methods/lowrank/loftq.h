// LoftQ: adapters that begin as what quantisation lost.
#pragma once

#include <cstdint>
#include <memory>

#include "terse/model/weight.h"
#include "terse/model/weights/group_quantized.h"

namespace terse {

/// W ~ Q + B A.
struct LoftqResult {
  std::shared_ptr<Weight> quantized;  ///< Q
  Matrix a;                           ///< [r, columns]
  Matrix b;                           ///< [rows, r]
};

/// Li et al., LoftQ (ICLR 2024, arXiv 2310.08659), algorithm 1, for the weight W `original`: A and
/// B from the truncated singular value decomposition of W - Q; then, `iterations` - 1 times, Q as
/// W - B A rounded to the nearest points of grids of its scheme, clipped for least error, and A and
/// B anew. The first Q is the one that is given, however it was found.
LoftqResult loftq(const Matrix& original, const std::shared_ptr<GroupQuantizedWeight>& quantized,
                  std::int64_t r, std::int64_t iterations);

}  // namespace terse
