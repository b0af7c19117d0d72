// The outer factor once more, when the inputs have moved.
#pragma once

#include "terse/core/tensor.h"
#include "terse/methods/input_shift.h"
#include "terse/methods/lowrank/truncated_svd.h"
#include "terse/methods/second_moments.h"

namespace terse {

/// SVD-LLM's update (Wang et al., arXiv 2403.07378, section 3.3): B [rows, r] that makes
/// ||W Y - B A X|| least for the A = `terms.right` that there is, X the inputs that `moments` are
/// of and Y what the linear read in their place before: B = W Y X^T A^T (A X X^T A^T)^-1. The
/// inverse is damped towards the B = `terms.left` that there is, so that no damping leaves a larger
/// error than that. In float64. Errors: failed when nothing can be inverted.
Matrix refitted_left(const Matrix& weight, const TruncatedSvd& terms, const SecondMoments& moments,
                     const InputShift& shift);

}  // namespace terse
