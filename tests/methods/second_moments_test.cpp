#include "terse/methods/second_moments.h"

#include <gtest/gtest.h>

#include <cmath>

#include "methods/random_problems.h"
#include "terse/core/error.h"
#include "terse/core/threads.h"
#include "terse/methods/output_error.h"

namespace terse::testing {
namespace {

using MatrixXd = Eigen::MatrixXd;

MatrixXd exact_moments(const Matrix& inputs) {
  const MatrixXd x = inputs.cast<double>();
  return 2.0 / static_cast<double>(x.rows()) * (x.transpose() * x);
}

TEST(SecondMoments, AreTheMeanProductTwice) {
  for (const std::int64_t columns : {1, 7, 256, 300, 520}) {
    const Matrix inputs = correlated_inputs(333, columns, 1);
    const SecondMoments moments = moments_of(inputs);
    const MatrixXd expected = exact_moments(inputs);
    EXPECT_EQ(moments.tokens(), 333);
    const Matrix found = moments.matrix();
    EXPECT_LT((found.cast<double>() - expected).cwiseAbs().maxCoeff(),
              1e-5 * expected.diagonal().maxCoeff());
    EXPECT_EQ(found, Matrix(found.transpose()));
    EXPECT_EQ(moments.at(columns - 1, 0), found(columns - 1, 0));
  }
}

// Sums in float32 lose nothing that damping of 1 % of the mean of the diagonal would not hide.
TEST(SecondMoments, ManyCallsStayFarMoreExactThanDamping) {
  const Matrix inputs = correlated_inputs(16384, 40, 2);
  SecondMoments moments(40);
  for (std::int64_t first = 0; first < inputs.rows(); first += 16) {
    moments.add(inputs.middleRows(first, 16));
  }
  EXPECT_EQ(moments.tokens(), 16384);
  const MatrixXd expected = exact_moments(inputs);
  const MatrixXd difference = moments.matrix().cast<double>() - expected;
  EXPECT_LT(difference.cwiseAbs().maxCoeff(), 1e-5 * expected.diagonal().mean());
}

TEST(SecondMoments, TakesAPieceOfAWiderMatrix) {
  const Matrix wide = random_matrix(50, 90, 3);
  SecondMoments moments(30);
  moments.add(wide.middleCols(20, 30));
  EXPECT_EQ(moments.matrix(), moments_of(wide.middleCols(20, 30)).matrix());
}

TEST(SecondMoments, ThreadsDoNotChangeABit) {
  const Matrix inputs = correlated_inputs(1000, 700, 4);
  const int before = thread_count();
  set_thread_count(1);
  const Matrix one = moments_of(inputs).matrix();
  for (const int threads : {2, 3, 5}) {
    set_thread_count(threads);
    EXPECT_EQ(one, moments_of(inputs).matrix());
  }
  set_thread_count(before);
}

TEST(SecondMoments, RefuseWhatIsNotFinite) {
  for (const float value : {std::nanf(""), INFINITY, 1e30F}) {
    Matrix inputs = random_matrix(10, 300, 5);
    inputs(3, 299) = value;
    SecondMoments moments(300);
    EXPECT_THROW(moments.add(inputs), Error) << value;
  }
  SecondMoments moments(300);
  EXPECT_THROW(moments.add(random_matrix(10, 301, 6)), Error);
  EXPECT_EQ(moments.tokens(), 0);
  moments.add(Matrix(0, 300));
  EXPECT_EQ(moments.tokens(), 0);
  EXPECT_TRUE(moments.matrix().isZero(0.0F));
}

TEST(RelativeOutputError, IsThatOfTheOutputs) {
  for (const std::int64_t columns : {5, 512, 700}) {
    const Matrix inputs = correlated_inputs(200, columns, 7);
    const Matrix weight = random_matrix(150, columns, 8);
    const Matrix changed = weight + random_matrix(150, columns, 9, 0.05);
    const MatrixXd x = inputs.cast<double>();
    const double expected = (x * (weight - changed).cast<double>().transpose()).squaredNorm() /
                            (x * weight.cast<double>().transpose()).squaredNorm();
    const double found = relative_output_error(weight, changed, moments_of(inputs));
    EXPECT_NEAR(found / expected, 1.0, 1e-4);
  }
}

TEST(RelativeOutputError, Ends) {
  const Matrix weight = random_matrix(10, 20, 10);
  const SecondMoments moments = moments_of(correlated_inputs(50, 20, 11));
  EXPECT_EQ(relative_output_error(weight, weight, moments), 0.0);
  EXPECT_NEAR(relative_output_error(weight, Matrix::Zero(10, 20), moments), 1.0, 1e-6);
  EXPECT_TRUE(std::isinf(relative_output_error(Matrix::Zero(10, 20), weight, moments)));
  EXPECT_THROW(relative_output_error(weight, weight.leftCols(19), moments), Error);
}

}  // namespace
}  // namespace terse::testing
