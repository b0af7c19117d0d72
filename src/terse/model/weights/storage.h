// Which kind of weight stores a matrix.
#pragma once

#include <memory>

#include "terse/core/tensor.h"
#include "terse/formats/quantized_matrix.h"
#include "terse/model/weight.h"

namespace terse {

/// Values [out, in], rounded to `dtype`, in dense form; stored as [in, out] when `transposed`
/// (GPT-2's Conv1D).
std::unique_ptr<Weight> plain_weight(const Matrix& values, DType dtype, bool transposed = false);
std::unique_ptr<Weight> plain_weight(QuantizedMatrix quantized);

/// The same in the form of fewest bytes: dense; with a bitmap; or 2:4, where at most two of each
/// four neighbours in a row are not zero, also if it is an eighth larger than the bitmap. All three
/// stand for the same numbers, but that zeros which are not stored lose their sign. Sparse forms
/// are [out, in] whatever `transposed_when_dense`. Of integers those that equal their zero point
/// are the zeros.
std::unique_ptr<Weight> smallest_weight(const Matrix& values, DType dtype,
                                        bool transposed_when_dense = false);
std::unique_ptr<Weight> smallest_weight(QuantizedMatrix quantized);

}  // namespace terse
