#pragma once

#include "terse/model/weights/dense.h"
#include "terse/model/weights/group_quantized.h"

namespace terse {
inline std::unique_ptr<Weight> plain_weight(const Matrix& v, DType d, bool t) { return std::make_unique<DenseWeight>(v, d, t); }
inline std::unique_ptr<Weight> plain_weight(QuantizedMatrix q) { return std::make_unique<GroupQuantizedWeight>(std::move(q)); }
inline std::unique_ptr<Weight> smallest_weight(const Matrix& v, DType d, bool t) { return plain_weight(v, d, t); }
inline std::unique_ptr<Weight> smallest_weight(QuantizedMatrix q) { return plain_weight(std::move(q)); }
}  // namespace terse
