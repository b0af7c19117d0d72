// The best approximation of low rank, held against Eigen's decomposition.
#include "terse/methods/lowrank/truncated_svd.h"

#include <gtest/gtest.h>

#include <Eigen/SVD>
#include <cmath>

#include "methods/random_problems.h"
#include "support/expect_error.h"
#include "support/random_values.h"
#include "terse/core/matrix_product.h"
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

// ||E C^(1/2)|| of what is left is the tail of the singular values of W C^(1/2), for the square
// root of the moments that Eigen finds.
TEST(TruncatedSvds, LeaveTheTailOfTheWhitenedSpectrum) {
  for (const auto& [rows, columns] : {std::pair{40, 60}, {90, 30}, {48, 48}}) {
    const Matrix matrix = test::random_values(rows, columns, 1);
    const Matrix inputs = testing::correlated_inputs(400, columns, 2);
    const SecondMoments moments = testing::moments_of(inputs);
    const Eigen::MatrixXd x = inputs.cast<double>();
    for (const std::int64_t r : {1, 7, 20}) {
      const TruncatedSvd svd = truncated_svd(matrix, r, {{}, &moments});
      const Eigen::MatrixXd error = (matrix - svd.left * svd.right).cast<double>();
      const double expected = tail((matrix.cast<double>() * x.transpose()).cast<float>(), r);
      EXPECT_NEAR((error * x.transpose()).norm(), expected, 1e-3 * expected);
      EXPECT_NEAR(svd.left.col(0).norm(), svd.right.row(0).norm(), 1e-4 * svd.left.col(0).norm());
      // Plain terms are nearer to the weight, and farther from its outputs.
      const TruncatedSvd plain = truncated_svd(matrix, r);
      const Eigen::MatrixXd plain_error = (matrix - plain.left * plain.right).cast<double>();
      EXPECT_LT(plain_error.norm(), error.norm());
      EXPECT_LT((error * x.transpose()).norm(), (plain_error * x.transpose()).norm());
    }
  }
}

TEST(TruncatedSvds, LeaveTheTailOfScaledColumns) {
  for (const auto& [rows, columns] : {std::pair{40, 60}, {90, 30}}) {
    const Matrix matrix = test::random_values(rows, columns, 1);
    const Vector scales = test::random_values(columns, 1, 3).cwiseAbs().array() + 0.1F;
    const TruncatedSvd svd = truncated_svd(matrix, 9, {scales, nullptr});
    const Matrix error = (matrix - svd.left * svd.right) * scales.asDiagonal();
    const double expected = tail(matrix * scales.asDiagonal(), 9);
    EXPECT_NEAR(error.norm(), expected, 1e-4 * expected);
  }
}

TEST(TruncatedSvds, KnowWhatEachTermIsWorth) {
  for (const auto& [rows, columns] : {std::pair{40, 60}, {90, 30}}) {
    const Matrix matrix = test::random_values(rows, columns, 1);
    const Matrix inputs = testing::correlated_inputs(400, columns, 2);
    const SecondMoments moments = testing::moments_of(inputs);
    const Vector scales = test::random_values(columns, 1, 3).cwiseAbs().array() + 0.1F;
    const auto expect_spectrum = [&](const Matrix& weighted, const ErrorWeights& weights) {
      const Eigen::JacobiSVD<Eigen::MatrixXd> svd(weighted.cast<double>());
      const Eigen::VectorXd expected =
          svd.singularValues().cwiseAbs2().head(std::min(rows, columns));
      const Eigen::VectorXd found = squared_singular_values(matrix, weights);
      ASSERT_EQ(found.size(), expected.size());
      EXPECT_LT((found - expected).cwiseAbs().maxCoeff(), 1e-5 * expected[0]);
    };
    expect_spectrum(matrix, {});
    expect_spectrum(matrix * scales.asDiagonal(), {scales, nullptr});
    expect_spectrum(matrix * inputs.transpose(), {{}, &moments});
  }
}

// Also where inputs depend on one another, or were never seen.
TEST(TruncatedSvds, OfAllTermsReproduceTheMatrix) {
  for (const auto& [rows, columns] : {std::pair{40, 60}, {90, 30}, {48, 48}}) {
    const Matrix matrix = test::random_values(rows, columns, 1);
    Matrix inputs = testing::correlated_inputs(20, columns, 2);
    inputs.col(3).setZero();
    const SecondMoments moments = testing::moments_of(inputs);
    const Vector scales = test::random_values(columns, 1, 3).cwiseAbs().array() + 0.1F;
    for (const ErrorWeights& weights :
         {ErrorWeights{}, ErrorWeights{scales, nullptr}, ErrorWeights{{}, &moments}}) {
      const TruncatedSvd svd = truncated_svd(matrix, std::min(rows, columns), weights);
      EXPECT_LT((matrix - svd.left * svd.right).cwiseAbs().maxCoeff(),
                1e-4F * matrix.cwiseAbs().maxCoeff());
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

// Large matrices are worked on in float32, unless one term outweighs what is lost by so much that
// its rounding would be felt.
TEST(TruncatedSvds, OfLargeMatricesLoseWhatTheSpectrumSays) {
  for (const auto& [rows, columns] : {std::pair{780, 800}, {800, 780}}) {
    for (const float outlier : {1.0F, 3e4F}) {
      Matrix matrix = test::random_values(rows, columns, 1);
      Matrix inputs = testing::correlated_inputs(900, columns, 2);
      inputs.col(7) *= outlier;
      const SecondMoments moments = testing::moments_of(inputs);
      const Eigen::VectorXd energies = squared_singular_values(matrix, {{}, &moments});
      const TruncatedSvd svd = truncated_svd(matrix, 300, {{}, &moments});
      const Eigen::MatrixXd error = (matrix - product(svd.left, svd.right)).cast<double>() *
                                    inputs.cast<double>().transpose();
      const double least = energies.tail(energies.size() - 300).sum();
      EXPECT_LT(error.squaredNorm(), least * 1.002) << rows << " " << outlier;
      EXPECT_GT(error.squaredNorm(), least * 0.998) << rows << " " << outlier;
    }
  }
}

TEST(TruncatedSvds, AreTheSameOnAnyNumberOfThreads) {
  const int before = thread_count();
  for (const auto& [rows, columns] : {std::pair{520, 600}, {600, 300}, {790, 770}}) {
    const Matrix matrix = test::random_values(rows, columns, 1);
    const SecondMoments moments = testing::moments_of(testing::correlated_inputs(700, columns, 2));
    for (const SecondMoments* weighted : {static_cast<const SecondMoments*>(nullptr), &moments}) {
      set_thread_count(1);
      const TruncatedSvd one = truncated_svd(matrix, 8, {{}, weighted});
      for (const int threads : {2, 3, 5}) {
        set_thread_count(threads);
        const TruncatedSvd many = truncated_svd(matrix, 8, {{}, weighted});
        EXPECT_EQ(one.left, many.left);
        EXPECT_EQ(one.right, many.right);
      }
    }
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
