// Weights that make up for inputs that go, against the normal equations solved in double.
#include "terse/methods/shape/compensation.h"

#include <gtest/gtest.h>

#include <Eigen/Cholesky>

#include "methods/random_problems.h"

namespace terse {
namespace {

using Units = std::vector<std::int64_t>;
using testing::correlated_inputs;
using testing::random_matrix;

class CompensationTest : public ::testing::Test {
 protected:
  static InputStatistics statistics(const Matrix& inputs) {
    InputStatistics all(inputs.cols(), {.second_moments = true, .means = true});
    all.add(inputs);
    return all;
  }

  double error(const Compensated& compensated) const {
    Matrix change = inputs_ * (weight_ - compensated.weight).transpose();
    if (compensated.bias.size() > 0) change.rowwise() -= compensated.bias.transpose();
    return change.cast<double>().squaredNorm();
  }

  Compensated with(Compensation compensation, double percdamp = 1e-6) const {
    return compensate(weight_, kept_, &statistics_, compensation, percdamp);
  }

  Matrix inputs_ = correlated_inputs(300, 24, 3).array() + 0.5F;
  Matrix weight_ = random_matrix(10, 24, 4);
  InputStatistics statistics_ = statistics(inputs_);
  Units kept_ = {0, 3, 4, 5, 9, 12, 13, 17, 20, 21, 23};
};

TEST_F(CompensationTest, ErrorsNeverGrow) {
  const double none = error(with(Compensation::none));
  const double bias = error(with(Compensation::bias));
  const double affine = error(with(Compensation::affine));
  for (const double percdamp : {1e-6, 1e-2, 1.0, 100.0}) {
    EXPECT_LE(error(with(Compensation::least_squares, percdamp)), none * (1 + 1e-6)) << percdamp;
    EXPECT_LE(error(with(Compensation::affine, percdamp)), bias * (1 + 1e-6)) << percdamp;
  }
  EXPECT_LT(bias, none);
  EXPECT_LT(affine, error(with(Compensation::least_squares)));
}

// argmin |X W^T - X_K V^T|^2, with a column of ones for the bias.
TEST_F(CompensationTest, LeastSquaresAreThoseOfTheNormalEquations) {
  for (const bool centred : {false, true}) {
    Eigen::MatrixXd x(inputs_.rows(), static_cast<std::int64_t>(kept_.size()) + (centred ? 1 : 0));
    x.setOnes();
    x.leftCols(static_cast<std::int64_t>(kept_.size())) = inputs_(Eigen::all, kept_).cast<double>();
    const Eigen::MatrixXd y = inputs_.cast<double>() * weight_.cast<double>().transpose();
    const Eigen::MatrixXd best = (x.transpose() * x).ldlt().solve(x.transpose() * y);
    const double least = (y - x * best).squaredNorm();
    const Compensated found =
        with(centred ? Compensation::affine : Compensation::least_squares, 1e-6);
    EXPECT_NEAR(error(found) / least, 1.0, 1e-3);
    for (const std::int64_t gone : {1, 2, 22}) EXPECT_EQ(found.weight.col(gone).norm(), 0.0F);
  }
}

TEST_F(CompensationTest, AnInputThatIsDoubledCanGo) {
  inputs_.col(1) = inputs_.col(0);
  inputs_.col(22) = 2.0F * inputs_.col(23);
  statistics_ = statistics(inputs_);
  kept_.clear();
  for (std::int64_t i = 0; i < 24; ++i) {
    if (i != 1 && i != 22) kept_.push_back(i);
  }
  const double outputs = (inputs_ * weight_.transpose()).cast<double>().squaredNorm();
  EXPECT_LT(error(with(Compensation::least_squares)), 1e-8 * outputs);
}

TEST_F(CompensationTest, AnInputThatNeverVariesIsABias) {
  inputs_.col(7).setConstant(3.0F);
  statistics_ = statistics(inputs_);
  kept_.clear();
  for (std::int64_t i = 0; i < 24; ++i) {
    if (i != 7) kept_.push_back(i);
  }
  const Compensated found = with(Compensation::bias);
  EXPECT_LT((found.bias - 3.0F * weight_.col(7)).norm(), 1e-4F * weight_.col(7).norm());
}

TEST_F(CompensationTest, NothingGoesNothingChanges) {
  kept_.clear();
  for (std::int64_t i = 0; i < 24; ++i) kept_.push_back(i);
  for (const Compensation each : {Compensation::none, Compensation::bias,
                                  Compensation::least_squares, Compensation::affine}) {
    EXPECT_EQ(with(each).weight, weight_);
    EXPECT_EQ(with(each).bias.norm(), 0.0F);
  }
}

// Inputs that moved: what is solved for is the least of |Y W^T - X V^T|^2 + d |V - now|^2.
class ResolvedTest : public CompensationTest {
 protected:
  ResolvedTest() { moved_.add(now_, inputs_); }

  double moved_error(const Matrix& weight) const {
    return (inputs_ * weight_.transpose() - now_ * weight.transpose()).cast<double>().squaredNorm();
  }

  Matrix now_ = inputs_ + 0.3F * correlated_inputs(300, 24, 7);
  InputStatistics moved_{24, {.second_moments = true, .shift = true}};
};

TEST_F(ResolvedTest, IsThatOfTheNormalEquations) {
  const Matrix start = 0.5F * weight_;
  for (const double percdamp : {1e-4, 1e-2, 1.0}) {
    const Eigen::MatrixXd x = now_.cast<double>();
    const Eigen::MatrixXd y = inputs_.cast<double>() * weight_.cast<double>().transpose();
    Eigen::MatrixXd moments = x.transpose() * x;
    const double d = percdamp * moments.diagonal().mean();
    moments.diagonal().array() += d;
    const Eigen::MatrixXd target = x.transpose() * y + d * start.cast<double>().transpose();
    const Matrix expected = moments.ldlt().solve(target).transpose().cast<float>();
    EXPECT_LT((resolved(weight_, start, moved_, percdamp) - expected).norm(),
              1e-3F * expected.norm())
        << percdamp;
  }
}

TEST_F(ResolvedTest, ErrorsNeverGrow) {
  for (const double percdamp : {1e-6, 1e-2, 10.0}) {
    EXPECT_LT(moved_error(resolved(weight_, weight_, moved_, percdamp)), moved_error(weight_));
  }
}

TEST_F(ResolvedTest, InputsThatStayedChangeNothing) {
  InputStatistics same(24, {.second_moments = true, .shift = true});
  same.add(inputs_, inputs_);
  EXPECT_LT((resolved(weight_, weight_, same) - weight_).norm(), 1e-5F * weight_.norm());
}

}  // namespace
}  // namespace terse
