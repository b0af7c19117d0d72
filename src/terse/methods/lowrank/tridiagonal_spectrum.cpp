#include "terse/methods/lowrank/tridiagonal_spectrum.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "terse/core/error.h"
#include "terse/core/matrix_product.h"
#include "terse/core/threads.h"

// LAPACK. OpenBLAS holds it, but Debian's package has no header for it.
// NOLINTBEGIN(readability-identifier-naming)
extern "C" {
void sstedc_(const char* compz, const int* n, float* d, float* e, float* z, const int* ldz,
             float* work, const int* lwork, int* iwork, const int* liwork, int* info);
void dstedc_(const char* compz, const int* n, double* d, double* e, double* z, const int* ldz,
             double* work, const int* lwork, int* iwork, const int* liwork, int* info);
void slaed2_(int* k, const int* n, const int* n1, float* d, float* q, const int* ldq, int* indxq,
             float* rho, float* z, float* dlamda, float* w, float* q2, int* indx, int* indxc,
             int* indxp, int* coltyp, int* info);
void dlaed2_(int* k, const int* n, const int* n1, double* d, double* q, const int* ldq, int* indxq,
             double* rho, double* z, double* dlamda, double* w, double* q2, int* indx, int* indxc,
             int* indxp, int* coltyp, int* info);
void slaed4_(const int* n, const int* i, const float* d, const float* z, float* delta,
             const float* rho, float* root, int* info);
void dlaed4_(const int* n, const int* i, const double* d, const double* z, double* delta,
             const double* rho, double* root, int* info);
}
// NOLINTEND(readability-identifier-naming)

namespace terse {
namespace {

template <class Real>
using Column = Eigen::Matrix<Real, Eigen::Dynamic, 1>;
template <class Real>
using Dense = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic>;
template <class Real>
using Rows = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Rows from which halves are worth taking apart, and rows or roots of a task.
constexpr std::int64_t kDivided = 512;
constexpr std::int64_t kTile = 64;

void stedc(int n, float* d, float* e, float* z, int stride, float* work, int size, int* integers,
           int integers_size, int* info) {
  sstedc_("I", &n, d, e, z, &stride, work, &size, integers, &integers_size, info);
}
void stedc(int n, double* d, double* e, double* z, int stride, double* work, int size,
           int* integers, int integers_size, int* info) {
  dstedc_("I", &n, d, e, z, &stride, work, &size, integers, &integers_size, info);
}
constexpr auto laed2(float) {
  return slaed2_;
}
constexpr auto laed2(double) {
  return dlaed2_;
}
constexpr auto laed4(float) {
  return slaed4_;
}
constexpr auto laed4(double) {
  return dlaed4_;
}

void require_converged(int info) {
  if (info != 0) throw failure("eigenvalues did not converge");
}

// All eigenvalues in the place of `d`, rising, and their vectors in z [n, n]; `e` is used up.
template <class Real>
void solve_whole(int n, Real* d, Real* e, Real* z, int stride) {
  int info = 0;
  Real wanted = 0;
  int integers_wanted = 0;
  stedc(n, d, e, z, stride, &wanted, -1, &integers_wanted, -1, &info);
  // In float32 the size is not exact.
  const auto least = static_cast<std::size_t>(1 + 4 * n) + static_cast<std::size_t>(n) * n;
  std::vector<Real> work(std::max(static_cast<std::size_t>(wanted), least));
  std::vector<int> integers(static_cast<std::size_t>(integers_wanted));
  stedc(n, d, e, z, stride, work.data(), static_cast<int>(work.size()), integers.data(),
        static_cast<int>(integers.size()), &info);
  require_converged(info);
}

// The whole is the two halves and a matrix of rank one. Its eigenvalues are those of the halves
// that this does not move, and the roots of an equation.
template <class Real>
class Union {
 public:
  Union(Column<Real> diagonal, Column<Real> beside)
      : n_(static_cast<int>(diagonal.size())), upper_(n_ / 2), lower_(n_ - upper_) {
    divide(diagonal, beside);
    deflate(beside[upper_ - 1]);
    find_roots();
    refine_weights();
  }

  // Too few are moved for the equation's solver.
  bool is_trivial() const { return moved_ < 3; }

  TridiagonalSpectrum<Real> largest(std::int64_t r) const {
    std::vector<std::pair<Real, int>> order;
    for (int i = 0; i < n_; ++i) order.emplace_back(i < moved_ ? roots_[i] : values_[i], i);
    std::ranges::stable_sort(order, [](const auto& a, const auto& b) { return a.first > b.first; });
    order.resize(static_cast<std::size_t>(r));
    TridiagonalSpectrum<Real> found{Column<Real>(r), Dense<Real>::Zero(n_, r)};
    std::vector<std::pair<std::int64_t, int>> moved;  // place among the largest, root
    for (std::int64_t i = 0; i < r; ++i) {
      const auto [value, index] = order[static_cast<std::size_t>(i)];
      found.values[i] = value;
      if (index < moved_) {
        moved.emplace_back(i, index);
      } else {
        found.vectors.col(i) = vectors_.col(index);
      }
    }
    fill(moved, 0, upper_, types_[0] + types_[1], 0, packed_.data(), found.vectors);
    fill(moved, upper_, lower_, types_[1] + types_[2], types_[0],
         packed_.data() + static_cast<std::ptrdiff_t>(upper_) * (types_[0] + types_[1]),
         found.vectors);
    return found;
  }

 private:
  void divide(Column<Real>& diagonal, Column<Real>& beside) {
    const Real cut = std::abs(beside[upper_ - 1]);
    diagonal[upper_ - 1] -= cut;
    diagonal[upper_] -= cut;
    vectors_ = Dense<Real>::Zero(n_, n_);
    Column<Real> used = beside;
    parallel_for(2, [&](std::int64_t half) {
      const int first = half == 0 ? 0 : upper_;
      solve_whole(half == 0 ? upper_ : lower_, diagonal.data() + first, used.data() + first,
                  &vectors_(first, first), n_);
    });
    values_ = diagonal;
  }

  // laed2: what is not moved goes to the end of values and vectors, the vectors of the others into
  // `packed_`: the upper parts of those that have one, then the lower parts.
  void deflate(Real cut) {
    Column<Real> z(n_);
    z.head(upper_) = vectors_.row(upper_ - 1).head(upper_);
    z.tail(lower_) = vectors_.row(upper_).tail(lower_);
    std::vector<int> sorted(static_cast<std::size_t>(n_));
    for (int i = 0; i < n_; ++i) {
      sorted[static_cast<std::size_t>(i)] = 1 + (i < upper_ ? i : i - upper_);
    }
    std::vector<int> order(sorted.size());
    std::vector<int> places(sorted.size());
    std::vector<int> types(sorted.size());
    grouped_.resize(sorted.size());
    poles_.resize(n_);
    weights_.resize(n_);
    // With those that are not moved, as laed2 uses it; its documentation says less.
    packed_.resize(static_cast<std::size_t>(n_) * n_);
    strength_ = cut;
    int info = 0;
    laed2(Real())(&moved_, &n_, &upper_, values_.data(), vectors_.data(), &n_, sorted.data(),
                  &strength_, z.data(), poles_.data(), weights_.data(), packed_.data(),
                  order.data(), grouped_.data(), places.data(), types.data(), &info);
    require_converged(info);
    std::copy_n(types.begin(), 3, types_);
  }

  // Column j: poles less root j.
  void find_roots() {
    if (is_trivial()) return;
    roots_.resize(moved_);
    distances_.resize(moved_, moved_);
    parallel_tiles(moved_, kTile, [&](std::int64_t first, std::int64_t count) {
      for (auto j = static_cast<int>(first); j < first + count; ++j) {
        const int number = j + 1;
        int info = 0;
        laed4(Real())(&moved_, &number, poles_.data(), weights_.data(), distances_.col(j).data(),
                      &strength_, &roots_[j], &info);
        require_converged(info);
      }
    });
  }

  // The weights of which the roots that were found are the exact ones: with these, vectors are
  // orthogonal (Gu and Eisenstat).
  void refine_weights() {
    if (is_trivial()) return;
    parallel_tiles(moved_, kTile, [&](std::int64_t first, std::int64_t count) {
      const auto poles = poles_.segment(first, count).array();
      Column<Real> products = distances_.diagonal().segment(first, count);
      for (std::int64_t j = 0; j < moved_; ++j) {
        const bool own = j >= first && j < first + count;
        const Real kept = own ? products[j - first] : Real(0);
        products.array() *= distances_.col(j).segment(first, count).array() / (poles - poles_[j]);
        if (own) products[j - first] = kept;
      }
      for (std::int64_t i = 0; i < count; ++i) {
        Real& weight = weights_[first + i];
        weight = std::copysign(std::sqrt(-products[i]), weight);
      }
    });
  }

  // Rows [row, row + rows) of the vectors of moved eigenvalues: `packed` [rows, terms] times the
  // terms from `from` on of the vectors of the equation.
  void fill(const std::vector<std::pair<std::int64_t, int>>& moved, int row, int rows, int terms,
            int from, const Real* packed, Dense<Real>& vectors) const {
    const auto count = static_cast<std::int64_t>(moved.size());
    if (count == 0 || terms == 0) return;
    Rows<Real> parts(count, terms);
    parallel_tiles(count, kTile, [&](std::int64_t first, std::int64_t tile) {
      for (std::int64_t i = first; i < first + tile; ++i) {
        const auto distances = distances_.col(moved[static_cast<std::size_t>(i)].second).array();
        const Column<Real> terms_of = (weights_.head(moved_).array() / distances).matrix();
        const Real length = terms_of.norm();
        for (int t = 0; t < terms; ++t) {
          parts(i, t) = terms_of[grouped_[static_cast<std::size_t>(from + t)] - 1] / length;
        }
      }
    });
    Rows<Real> out(count, rows);
    multiply_into<Real>(out.data(), {parts.data(), count, terms}, {packed, terms, rows});
    for (std::int64_t i = 0; i < count; ++i) {
      vectors.col(moved[static_cast<std::size_t>(i)].first).segment(row, rows) = out.row(i);
    }
  }

  int n_;
  int upper_;
  int lower_;
  int moved_ = 0;
  int types_[3] = {};  // of moved columns: with an upper part alone, with both, with a lower alone
  Real strength_ = 0;
  Column<Real> values_;
  Dense<Real> vectors_;
  Column<Real> poles_;
  Column<Real> weights_;
  std::vector<Real> packed_;
  std::vector<int> grouped_;  // by type: which pole, from 1
  Column<Real> roots_;
  Dense<Real> distances_;
};

template <class Real>
TridiagonalSpectrum<Real> of_the_whole(Column<Real> diagonal, Column<Real> beside, std::int64_t r) {
  const auto n = static_cast<int>(diagonal.size());
  Dense<Real> vectors(n, n);
  // Inside a parallel loop of one tile, so that BLAS stays on one thread.
  parallel_for(
      1, [&](std::int64_t) { solve_whole(n, diagonal.data(), beside.data(), vectors.data(), n); });
  return {diagonal.tail(r).reverse(), vectors.rightCols(r).rowwise().reverse()};
}

}  // namespace

template <class Real>
TridiagonalSpectrum<Real> largest_of_tridiagonal(const Column<Real>& diagonal,
                                                 const Column<Real>& beside, std::int64_t r) {
  if (diagonal.size() < kDivided) return of_the_whole<Real>(diagonal, beside, r);
  // What laed2 takes for nothing is measured against one.
  const Real scale = std::max(diagonal.cwiseAbs().maxCoeff(), beside.cwiseAbs().maxCoeff());
  if (scale == 0) return of_the_whole<Real>(diagonal, beside, r);
  const Union<Real> halves(diagonal / scale, beside / scale);
  if (halves.is_trivial()) return of_the_whole<Real>(diagonal, beside, r);
  TridiagonalSpectrum<Real> largest = halves.largest(r);
  largest.values *= scale;
  return largest;
}

template TridiagonalSpectrum<float> largest_of_tridiagonal(const Column<float>&,
                                                           const Column<float>&, std::int64_t);
template TridiagonalSpectrum<double> largest_of_tridiagonal(const Column<double>&,
                                                            const Column<double>&, std::int64_t);

}  // namespace terse
