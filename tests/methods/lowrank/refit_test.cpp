// The outer factor that is fitted to what the original inputs gave, held against least squares over
// the inputs themselves.
#include "terse/methods/lowrank/refit.h"

#include <gtest/gtest.h>

#include <Eigen/QR>

#include "methods/random_problems.h"
#include "support/expect_error.h"
#include "support/random_values.h"
#include "terse/core/threads.h"

namespace terse {
namespace {

struct Problem {
  Matrix weight;
  Matrix inputs;
  Matrix before;  // what was read in their place

  Problem(std::int64_t rows, std::int64_t columns, float moved, std::uint64_t seed)
      : weight(test::random_values(rows, columns, seed)),
        inputs(testing::correlated_inputs(300, columns, seed + 1)),
        before(inputs + moved * testing::correlated_inputs(300, columns, seed + 2)) {}

  SecondMoments moments() const { return testing::moments_of(inputs); }

  InputShift shift() const {
    InputShift found(inputs.cols());
    found.add(inputs.topRows(100), before.topRows(100));
    found.add(inputs.bottomRows(200), before.bottomRows(200));
    return found;
  }

  Matrix targets() const { return before * weight.transpose(); }

  double error(const Matrix& left, const Matrix& right) const {
    const Eigen::MatrixXd inner = inputs.cast<double>() * right.cast<double>().transpose();
    return (targets().cast<double>() - inner * left.cast<double>().transpose()).squaredNorm();
  }
};

TEST(Refits, AreLeastSquaresOverTheInputs) {
  for (const auto& [rows, columns] : {std::pair{40, 60}, {90, 30}}) {
    const Problem problem(rows, columns, 0.3F, 1);
    const SecondMoments moments = problem.moments();
    const TruncatedSvd terms = truncated_svd(problem.weight, 9, {{}, &moments});
    const Matrix left = refitted_left(problem.weight, terms, moments, problem.shift());
    const Eigen::MatrixXd inner = (problem.inputs * terms.right.transpose()).cast<double>();
    const Eigen::MatrixXd expected =
        inner.colPivHouseholderQr().solve(problem.targets().cast<double>()).transpose();
    EXPECT_LT((left.cast<double>() - expected).norm(), 1e-3 * expected.norm());
    EXPECT_LT(problem.error(left, terms.right), 0.99 * problem.error(terms.left, terms.right));
  }
}

// Whatever was lost before: also few inputs, and inputs that depend on one another.
TEST(Refits, NeverRaiseTheErrorOfTheirLayer) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    Problem problem(24, 32, 0.02F * static_cast<float>(seed % 5) * static_cast<float>(seed), seed);
    if (seed % 3 == 0) problem.inputs.col(5) = problem.inputs.col(4);
    if (seed % 4 == 0) {
      problem.inputs = problem.inputs.topRows(20).eval();
      problem.before = problem.before.topRows(20).eval();
      problem.inputs.col(7).setZero();
    }
    const SecondMoments moments = problem.moments();
    InputShift shift(32);
    shift.add(problem.inputs, problem.before);
    for (const std::int64_t rank : {1, 6, 20}) {
      for (const bool whitened : {false, true}) {
        const TruncatedSvd terms = truncated_svd(
            problem.weight, rank, whitened ? ErrorWeights{{}, &moments} : ErrorWeights{});
        const Matrix left = refitted_left(problem.weight, terms, moments, shift);
        EXPECT_LE(problem.error(left, terms.right),
                  problem.error(terms.left, terms.right) * (1 + 1e-5) +
                      1e-7 * problem.targets().squaredNorm())
            << seed << " " << rank;
      }
    }
  }
}

// Truncation after whitening by the same inputs is least squares already.
TEST(Refits, ChangeNothingWhereInputsAreWhatTheyWere) {
  const Problem problem(40, 60, 0.0F, 1);
  EXPECT_TRUE(problem.shift().sums().isZero(0));
  const SecondMoments moments = problem.moments();
  const TruncatedSvd terms = truncated_svd(problem.weight, 9, {{}, &moments});
  const Matrix left = refitted_left(problem.weight, terms, moments, problem.shift());
  EXPECT_LT((left - terms.left).norm(), 1e-4 * terms.left.norm());
}

TEST(Refits, AreTheSameOnAnyNumberOfThreads) {
  const int before = thread_count();
  const Problem problem(300, 520, 0.2F, 1);
  const SecondMoments moments = problem.moments();
  const TruncatedSvd terms = truncated_svd(problem.weight, 70, {{}, &moments});
  Matrix first;
  for (const int threads : {1, 2, 3, 5}) {
    set_thread_count(threads);
    const Matrix left = refitted_left(problem.weight, terms, moments, problem.shift());
    if (threads == 1) first = left;
    EXPECT_EQ(left, first) << threads;
  }
  set_thread_count(before);
}

TEST(Refits, RefuseWhatDoesNotFit) {
  InputShift shift(4);
  test::expect_error(ErrorKind::failed, "two of 4 values",
                     [&] { shift.add(Matrix::Zero(3, 4), Matrix::Zero(2, 4)); });
  const Matrix weight = Matrix::Ones(3, 4);
  test::expect_error(ErrorKind::failed, "cannot be factored", [&] {
    refitted_left(weight, {Matrix::Ones(3, 2), Matrix::Ones(2, 4)}, SecondMoments(4), shift);
  });
}

}  // namespace
}  // namespace terse
