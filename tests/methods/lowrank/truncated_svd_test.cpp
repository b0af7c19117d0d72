// The best approximation of low rank, held against Eigen's decomposition.
#include "terse/methods/lowrank/truncated_svd.h"

#include <gtest/gtest.h>

#include <Eigen/SVD>
#include <cmath>

#include "support/expect_error.h"
#include "support/random_values.h"
#include "terse/core/random.h"
#include "terse/core/threads.h"

namespace terse {
namespace {

double tail(const Matrix& matrix, std::int64_t r) {
  const Eigen::JacobiSVD<Eigen::MatrixXd> svd(matrix.cast<double>());
  const auto rest = std::max<std::int64_t>(0, svd.singularValues().size() - r);
  return svd.singularValues().tail(rest).norm();
}

TEST(TruncatedSvds, LeaveTheTailOfTheSingularValues) {
  for (const auto& [rows, columns] : {std::pair{40, 90}, {90, 40}, {300, 50}, {1, 7}, {64, 64}}) {
    const Matrix matrix = test::random_values(rows, columns, 1);
    for (const std::int64_t r : {1, 5, 200}) {
      const TruncatedSvd svd = truncated_svd(matrix, r);
      ASSERT_EQ(svd.left.cols(), r);
      ASSERT_EQ(svd.right.rows(), r);
      EXPECT_NEAR((matrix - svd.left * svd.right).norm(), tail(matrix, r), 1e-5 * matrix.norm());
      // The root of a singular value on either side.
      EXPECT_NEAR(svd.left.col(0).norm(), svd.right.row(0).norm(), 1e-4);
    }
  }
}

TEST(TruncatedSvds, OfFewerTermsAreExact) {
  const Matrix matrix = test::random_values(30, 2, 1) * test::random_values(2, 20, 1);
  const TruncatedSvd svd = truncated_svd(matrix, 4);
  EXPECT_LT((matrix - svd.left * svd.right).norm(), 1e-5 * matrix.norm());
  const TruncatedSvd zero = truncated_svd(Matrix::Zero(5, 6), 2);
  EXPECT_TRUE(zero.left.isZero(0) && zero.right.isZero(0));
}

TEST(TruncatedSvds, AreTheSameOnAnyNumberOfThreads) {
  const Matrix matrix = test::random_values(520, 600, 1);
  const int before = thread_count();
  set_thread_count(1);
  const TruncatedSvd one = truncated_svd(matrix, 8);
  for (const int threads : {2, 3, 5}) {
    set_thread_count(threads);
    const TruncatedSvd many = truncated_svd(matrix, 8);
    EXPECT_EQ(one.left, many.left);
    EXPECT_EQ(one.right, many.right);
  }
  set_thread_count(before);
}

TEST(TruncatedSvds, RefuseWhatIsNotFinite) {
  Matrix matrix = test::random_values(5, 6, 1);
  matrix(2, 3) = std::nanf("");
  test::expect_error(ErrorKind::failed, "not finite", [&] { truncated_svd(matrix, 2); });
}

}  // namespace
}  // namespace terse
