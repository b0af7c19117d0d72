// Eigenvalues and vectors of symmetric matrices, held against Eigen's.
#include "terse/methods/lowrank/eigenvectors.h"

#include <gtest/gtest.h>

#include <Eigen/Eigenvalues>
#include <cmath>

#include "support/expect_error.h"
#include "support/random_values.h"
#include "terse/core/threads.h"

namespace terse {
namespace {

template <class Real>
using Dense = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic>;

Eigen::MatrixXd random_symmetric(std::int64_t n) {
  const Eigen::MatrixXd values = test::random_values(n, n, 1).cast<double>();
  return values + values.transpose();
}

// What is above the diagonal is not read.
template <class Real>
Dense<Real> lower_triangle(const Eigen::MatrixXd& symmetric) {
  Dense<Real> lower = symmetric.cast<Real>();
  lower.template triangularView<Eigen::StrictlyUpper>().setConstant(std::nanf(""));
  return lower;
}

template <class Real>
void expect_eigenvectors(const Eigen::MatrixXd& symmetric, std::int64_t r, double tolerance) {
  const std::int64_t n = symmetric.rows();
  const auto found = largest_eigenvectors<Real>(lower_triangle<Real>(symmetric), r);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(symmetric);
  const double size = solver.eigenvalues().cwiseAbs().maxCoeff() + 1e-30;
  EXPECT_LT((found.values - solver.eigenvalues().tail(r).reverse()).cwiseAbs().maxCoeff(),
            tolerance * size)
      << n;
  const Eigen::MatrixXd vectors = found.vectors.template cast<double>();
  EXPECT_LT((vectors.transpose() * vectors - Eigen::MatrixXd::Identity(r, r)).norm(),
            tolerance * static_cast<double>(n))
      << n;
  EXPECT_LT((symmetric * vectors - vectors * found.values.asDiagonal()).norm(),
            tolerance * size * static_cast<double>(n))
      << n;
}

TEST(Eigenvectors, AreThoseOfTheMatrix) {
  for (const std::int64_t n : {1, 2, 3, 31, 33, 34, 100, 530}) {
    const Eigen::MatrixXd symmetric = random_symmetric(n);
    for (const std::int64_t r : {std::int64_t{1}, (n + 1) / 2, n}) {
      expect_eigenvectors<double>(symmetric, r, 1e-13);
      expect_eigenvectors<float>(symmetric, r, 3e-6);
    }
    const Eigen::VectorXd all = eigenvalues(lower_triangle<double>(symmetric));
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(symmetric);
    EXPECT_LT((all - solver.eigenvalues().reverse()).cwiseAbs().maxCoeff(),
              1e-12 * symmetric.norm());
  }
}

// Eigenvalues that are the same, or zero.
TEST(Eigenvectors, AreOrthogonalWhateverTheSpectrum) {
  for (const std::int64_t n : {5, 90, 560}) {
    const Eigen::MatrixXd narrow = test::random_values(n, 3, 2).cast<double>();
    for (const Eigen::MatrixXd& symmetric : {Eigen::MatrixXd(Eigen::MatrixXd::Identity(n, n)),
                                             Eigen::MatrixXd(Eigen::MatrixXd::Zero(n, n)),
                                             Eigen::MatrixXd(Eigen::MatrixXd::Ones(n, n)),
                                             Eigen::MatrixXd(narrow * narrow.transpose() * 1e-9)}) {
      expect_eigenvectors<double>(symmetric, n, 1e-13);
      expect_eigenvectors<float>(symmetric, n, 3e-6);
    }
  }
}

// Of halves that are put together: eigenvalues that few terms move, clusters, any scale.
TEST(Eigenvectors, OfHalvesAreThoseOfTheWhole) {
  constexpr std::int64_t n = 601;
  const Eigen::MatrixXd low = test::random_values(n, 40, 3).cast<double>();
  Eigen::MatrixXd graded = random_symmetric(n);
  for (std::int64_t i = 0; i < n; ++i) {
    graded.row(i) *= std::exp2(-static_cast<double>(i) / 40);
    graded.col(i) *= std::exp2(-static_cast<double>(i) / 40);
  }
  Eigen::MatrixXd apart = Eigen::MatrixXd::Zero(n, n);
  apart.topLeftCorner(n / 2, n / 2) = random_symmetric(n / 2);
  apart.bottomRightCorner(n - n / 2, n - n / 2) = random_symmetric(n - n / 2);
  for (const Eigen::MatrixXd& symmetric : {Eigen::MatrixXd(low * low.transpose()), graded, apart}) {
    for (const double scale : {1.0, 1e-12, 1e12}) {
      expect_eigenvectors<double>(scale * symmetric, n / 3, 1e-13);
      expect_eigenvectors<float>(scale * symmetric, n / 3, 3e-6);
    }
  }
}

TEST(Eigenvectors, AreTheSameOnAnyNumberOfThreads) {
  const int before = thread_count();
  const Eigen::MatrixXd symmetric = random_symmetric(1100);
  LargestEigenvectors<float> first;
  for (const int threads : {1, 2, 3, 5}) {
    set_thread_count(threads);
    const auto found = largest_eigenvectors<float>(symmetric.cast<float>(), 600);
    if (threads == 1) first = found;
    EXPECT_EQ(found.values, first.values) << threads;
    EXPECT_EQ(found.vectors, first.vectors) << threads;
  }
  set_thread_count(before);
}

TEST(Eigenvectors, RefuseWhatIsNotFinite) {
  for (const std::int64_t n : {1, 40}) {
    Eigen::MatrixXd symmetric = random_symmetric(n);
    symmetric(n - 1, n / 2) = std::nan("");
    test::expect_error(ErrorKind::failed, "not finite",
                       [&] { largest_eigenvectors<double>(symmetric, 1); });
    test::expect_error(ErrorKind::failed, "not finite", [&] { eigenvalues(symmetric); });
  }
}

}  // namespace
}  // namespace terse
