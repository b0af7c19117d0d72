#include "terse/methods/lowrank/eigenvectors.h"

#include <vector>

#include "terse/core/error.h"
#include "terse/core/threads.h"

// LAPACK: chosen eigenvalues and vectors of a symmetric matrix. OpenBLAS holds it, but Debian's
// package has no header for it.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" void dsyevr_(const char* jobz, const char* range, const char* uplo, const int* n,
                        double* a, const int* lda, const double* vl, const double* vu,
                        const int* il, const int* iu, const double* abstol, int* m, double* w,
                        double* z, const int* ldz, int* isuppz, double* work, const int* lwork,
                        int* iwork, const int* liwork, int* info);

namespace terse {

LargestEigenvectors largest_eigenvectors(Eigen::MatrixXd symmetric, std::int64_t r) {
  const int n = static_cast<int>(symmetric.rows());
  const int wanted = static_cast<int>(r);
  const int first = n - wanted + 1;
  const double unused = 0;
  int found = 0;
  int info = 0;
  Eigen::VectorXd values(n);
  std::vector<int> support(2 * static_cast<std::size_t>(r));
  Eigen::MatrixXd vectors(n, r);
  std::vector<double> work(1);
  std::vector<int> integers(1);
  const auto solve = [&](int work_size, int integer_size) {
    dsyevr_("V", "I", "L", &n, symmetric.data(), &n, &unused, &unused, &first, &n, &unused, &found,
            values.data(), vectors.data(), &n, support.data(), work.data(), &work_size,
            integers.data(), &integer_size, &info);
  };
  solve(-1, -1);
  work.resize(static_cast<std::size_t>(work[0]));
  integers.resize(static_cast<std::size_t>(integers[0]));
  // Inside a parallel loop of one tile, so that BLAS stays on one thread.
  parallel_for(1, [&](std::int64_t) {
    solve(static_cast<int>(work.size()), static_cast<int>(integers.size()));
  });
  if (info != 0 || found != wanted) throw failure("eigenvectors did not converge");
  return {values.head(r).reverse(), vectors.rowwise().reverse()};
}

}  // namespace terse
