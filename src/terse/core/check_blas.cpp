// Apart from threads.cpp, so that kernels and what they need of core build without BLAS.
#include <cblas.h>

#include "terse/core/error.h"
#include "terse/core/threads.h"

namespace terse {

void check_blas() {
  constexpr int kOpenMp = 2;
  if (openblas_get_parallel() != kOpenMp) {
    throw failure("OpenBLAS in this process is not its OpenMP build; install libopenblas0-openmp");
  }
}

}  // namespace terse
