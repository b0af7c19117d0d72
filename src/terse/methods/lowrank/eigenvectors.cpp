#include "terse/methods/lowrank/eigenvectors.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "terse/core/error.h"
#include "terse/core/threads.h"

// LAPACK: the tridiagonal form of a symmetric matrix, chosen eigenvalues and vectors of that, and
// the way back. OpenBLAS holds it, but Debian's package has no header for it.
// NOLINTBEGIN(readability-identifier-naming)
extern "C" {
void dsytrd_(const char* uplo, const int* n, double* a, const int* lda, double* d, double* e,
             double* tau, double* work, const int* lwork, int* info);
void dsterf_(const int* n, double* d, double* e, int* info);
void dstemr_(const char* jobz, const char* range, const int* n, double* d, double* e,
             const double* vl, const double* vu, const int* il, const int* iu, int* m, double* w,
             double* z, const int* ldz, const int* nzc, int* isuppz, int* tryrac, double* work,
             const int* lwork, int* iwork, const int* liwork, int* info);
void dormtr_(const char* side, const char* uplo, const char* trans, const int* m, const int* n,
             const double* a, const int* lda, const double* tau, double* c, const int* ldc,
             double* work, const int* lwork, int* info);
}
// NOLINTEND(readability-identifier-naming)

namespace terse {
namespace {

constexpr std::int64_t kColumnTile = 128;

void require_converged(int info) {
  if (info != 0) throw failure("eigenvalues did not converge");
}

// Calls `routine(work, size)` once for the size that it wants and once with so much.
template <class Routine>
void with_work(const Routine& routine) {
  double wanted = 0;
  routine(&wanted, -1);
  std::vector<double> work(static_cast<std::size_t>(wanted));
  routine(work.data(), static_cast<int>(work.size()));
}

// Q T Q^T = A, Q as reflections below the diagonal. On one thread.
class Tridiagonal {
 public:
  explicit Tridiagonal(Eigen::MatrixXd symmetric)
      : n_(static_cast<int>(symmetric.rows())),
        reflections_(std::move(symmetric)),
        diagonal_(n_),
        beside_(n_),
        scales_(n_) {
    // Inside a parallel loop of one tile, so that BLAS stays on one thread.
    parallel_for(1, [&](std::int64_t) {
      with_work([&](double* work, int size) {
        int info = 0;
        dsytrd_("L", &n_, reflections_.data(), &n_, diagonal_.data(), beside_.data(),
                scales_.data(), work, &size, &info);
        require_converged(info);
      });
    });
    if (!diagonal_.allFinite() || !beside_.head(n_ - 1).allFinite()) {
      throw failure("eigenvalues of values that are not finite");
    }
  }

  // Rising.
  Eigen::VectorXd values() && {
    int info = 0;
    parallel_for(1, [&](std::int64_t) { dsterf_(&n_, diagonal_.data(), beside_.data(), &info); });
    require_converged(info);
    return std::move(diagonal_);
  }

  // The r largest, rising, with their vectors. Not by dsyevr: of some eigenvalues it finds the
  // vectors by inverse iteration, which takes longer than the tridiagonal form.
  Eigen::VectorXd largest(int r, Eigen::MatrixXd& vectors) && {
    const int first = n_ - r + 1;
    const double unused = 0;
    int found = 0;
    int info = 0;
    int relative = 0;
    Eigen::VectorXd values(n_);
    std::vector<int> support(2 * static_cast<std::size_t>(n_));
    std::vector<double> work(18 * static_cast<std::size_t>(n_));
    std::vector<int> integers(10 * static_cast<std::size_t>(n_));
    const int work_size = static_cast<int>(work.size());
    const int integers_size = static_cast<int>(integers.size());
    parallel_for(1, [&](std::int64_t) {
      dstemr_("V", "I", &n_, diagonal_.data(), beside_.data(), &unused, &unused, &first, &n_,
              &found, values.data(), vectors.data(), &n_, &r, support.data(), &relative,
              work.data(), &work_size, integers.data(), &integers_size, &info);
    });
    require_converged(found == r ? info : 1);
    parallel_tiles(r, kColumnTile, [&](std::int64_t begin, std::int64_t count) {
      turn_back(vectors.data() + begin * n_, static_cast<int>(count));
    });
    return values.head(r);
  }

 private:
  void turn_back(double* columns, int count) const {
    with_work([&](double* work, int size) {
      int info = 0;
      dormtr_("L", "L", "N", &n_, &count, reflections_.data(), &n_, scales_.data(), columns, &n_,
              work, &size, &info);
      require_converged(info);
    });
  }

  int n_;
  Eigen::MatrixXd reflections_;
  Eigen::VectorXd diagonal_;
  Eigen::VectorXd beside_;
  Eigen::VectorXd scales_;
};

}  // namespace

LargestEigenvectors largest_eigenvectors(Eigen::MatrixXd symmetric, std::int64_t r) {
  Eigen::MatrixXd vectors(symmetric.rows(), r);
  const Eigen::VectorXd values =
      Tridiagonal(std::move(symmetric)).largest(static_cast<int>(r), vectors);
  return {values.reverse(), vectors.rowwise().reverse()};
}

Eigen::VectorXd eigenvalues(Eigen::MatrixXd symmetric) {
  return Tridiagonal(std::move(symmetric)).values().reverse();
}

}  // namespace terse
