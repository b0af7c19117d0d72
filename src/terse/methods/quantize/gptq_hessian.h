// What GPTQ and SparseGPT need of the inputs of a linear, whatever its weight: the order in which
// columns are taken and how the error of one is fed to the next.
#pragma once

#include <cstdint>
#include <vector>

#include "terse/core/tensor.h"
#include "terse/methods/second_moments.h"

namespace terse {

/// H + damping, in the order of quantisation, = U D U^T with U unit upper triangular (QuIP, Chee
/// et al. 2023, section 3: OPTQ is linear feedback by U - I).
struct GptqHessian {
  std::vector<std::int64_t> order;  ///< Column of the weight that step k quantises.
  std::vector<std::int64_t> dead;   ///< Columns whose input was always zero.
  Matrix unit_upper;  ///< U: the first n columns, on and above the diagonal; padded to a stride.
  Vector roots;       ///< D^(1/2) of every step.
};

/// Damping is `percdamp` times the mean of the diagonal; while the factorisation fails it grows
/// tenfold. Dead inputs get 1 on the diagonal. With `by_activation` columns go by falling H[j, j].
/// Errors: failed when no inputs were seen or nothing can be factored.
GptqHessian factor_hessian(const SecondMoments& moments, double percdamp, bool by_activation);

}  // namespace terse
