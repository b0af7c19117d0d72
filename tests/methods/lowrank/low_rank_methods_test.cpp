// Methods that take a weight apart: what each error counts, ranks, and what later steps do to the
// factors.
#include <gtest/gtest.h>

#include <Eigen/SVD>

#include "methods/random_problems.h"
#include "support/expect_error.h"
#include "terse/core/matrix_product.h"
#include "terse/methods/method.h"
#include "terse/methods/output_error.h"
#include "terse/model/weights/low_rank_sum.h"

namespace terse {
namespace {

using test::expect_error;
using testing::correlated_inputs;
using testing::random_matrix;

using Given = std::map<std::string, std::string>;

std::unique_ptr<LinearMethod> make(const std::string& name, const Given& given) {
  const MethodOptions options(MethodRegistry::instance().find(name), given);
  return make_linear_method(name, options, {DType::f32});
}

// Of inputs that were the same before.
InputStatistics statistics_of(const Matrix& inputs) {
  InputStatistics statistics(inputs.cols(), {.second_moments = true, .shift = true});
  statistics.add(inputs, inputs);
  return statistics;
}

class LowRankMethods : public ::testing::Test {
 protected:
  Matrix compress(const std::string& name, const Given& given) const {
    LinearProblem problem{"layer", weight_, &inputs_};
    problem.importance = fisher_;
    return dense_weight(make(name, given)->compress(std::move(problem)));
  }

  double output_error(const Matrix& compressed) const {
    return relative_output_error(weight_, compressed, inputs_.moments());
  }

  Matrix weight_ = random_matrix(48, 64, 1);
  InputStatistics inputs_ = statistics_of(correlated_inputs(500, 64, 2));
  Matrix fisher_ = random_matrix(48, 64, 3).cwiseAbs();
};

TEST_F(LowRankMethods, EachLosesLeastByItsOwnMeasure) {
  const Given rank{{"rank", "12"}};
  const Matrix svd = compress("svd", rank);
  const Matrix svd_llm = compress("svd_llm", rank);
  const Matrix asvd = compress("asvd", rank);
  EXPECT_LT(output_error(svd_llm), output_error(asvd));
  EXPECT_LT(output_error(asvd), output_error(svd));
  EXPECT_LT((weight_ - svd).norm(), (weight_ - asvd).norm());
  const Matrix fwsvd = compress("fwsvd", rank);
  const Vector columns = fisher_.colwise().sum().cwiseSqrt().transpose();
  EXPECT_LT(((weight_ - fwsvd) * columns.asDiagonal()).norm(),
            ((weight_ - svd) * columns.asDiagonal()).norm());
}

TEST_F(LowRankMethods, AreSvdWhereEveryInputCountsAlike) {
  const Given rank{{"rank", "12"}};
  const Matrix svd = compress("svd", rank);
  const auto expect_same = [&](const Matrix& found) {
    EXPECT_LT((found - svd).cwiseAbs().maxCoeff(), 1e-4F);
  };
  expect_same(compress("asvd", {{"rank", "12"}, {"alpha", "0"}}));
  fisher_.setOnes();
  expect_same(compress("fwsvd", rank));
  // Inputs that are the unit vectors.
  inputs_ = statistics_of(Matrix::Identity(64, 64));
  expect_same(compress("svd_llm", rank));
}

TEST_F(LowRankMethods, ReproduceTheWeightAtFullRank) {
  for (const char* name : {"svd", "asvd", "fwsvd", "svd_llm"}) {
    EXPECT_LT((compress(name, {{"rank", "48"}}) - weight_).cwiseAbs().maxCoeff(), 1e-4F) << name;
  }
}

TEST_F(LowRankMethods, LeaveTheWeightAsItIsWithARatioOfOne) {
  const LinearResult same = make("svd", {{"ratio", "1"}})->compress({"layer", weight_});
  EXPECT_EQ(std::get<Matrix>(same), weight_);
  EXPECT_EQ(make("svd", {{"ratio", "1"}})->parts(48, 64), (std::vector<Shape>{{48, 64}}));
}

TEST_F(LowRankMethods, TakeTheRankThatTheRatioLeaves) {
  const auto rank_of = [](const Given& given, std::int64_t rows, std::int64_t columns) {
    return make("svd", given)->parts(rows, columns).front()[0];
  };
  // 0.8 * 1024 * 4096 / 5120 = 655.36.
  EXPECT_EQ(rank_of({}, 1024, 4096), 648);
  EXPECT_EQ(rank_of({{"multiple", "1"}}, 1024, 4096), 655);
  EXPECT_EQ(rank_of({{"multiple", "64"}}, 1024, 4096), 640);
  EXPECT_EQ(rank_of({{"ratio", "0.5"}}, 8, 8), 2);
  EXPECT_EQ(rank_of({{"rank", "13"}}, 64, 64), 13);
  const auto parts = make("svd", {{"rank", "13"}})->parts(48, 64);
  EXPECT_EQ(parts, (std::vector<Shape>{{13, 64}, {48, 13}}));
}

TEST_F(LowRankMethods, RefuseRanksThatCannotBe) {
  expect_error(ErrorKind::usage, "layer: rank 49 is above the full rank 48", [&] {
    make("svd", {{"rank", "49"}})->check("layer", 48, 64);
  });
  expect_error(ErrorKind::usage, "the least is 0.0365", [&] {
    make("svd", {{"ratio", "0.03"}})->check("layer", 48, 64);
  });
  expect_error(ErrorKind::usage, "rank and ratio", [&] {
    make("svd", {{"rank", "4"}, {"ratio", "0.5"}});
  });
  expect_error(ErrorKind::usage, "above the full rank", [&] {
    make("lqer", {{"rank", "49"}, {"group_size", "16"}})->check("layer", 48, 64);
  });
  inputs_ = statistics_of(Matrix::Zero(9, 64));
  expect_error(ErrorKind::failed, "layer", [&] { compress("asvd", {}); });
  fisher_.setZero();
  expect_error(ErrorKind::bad_input, "layer", [&] { compress("fwsvd", {}); });
  weight_(3, 4) = std::numeric_limits<float>::quiet_NaN();
  expect_error(ErrorKind::bad_input, "layer", [&] { compress("svd", {}); });
}

TEST_F(LowRankMethods, LeaveTwoPartsToLaterSteps) {
  LinearResult result = make("svd_llm", {{"rank", "16"}})->compress({"layer", weight_, &inputs_});
  auto& compound = *std::get<std::shared_ptr<CompoundResult>>(result);
  const Matrix before = compound.dense();
  const auto parts = compound.parts();
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_FALSE(parts[0].inputs);
  const Matrix a = dense_weight(*parts[0].result);
  const Matrix b = dense_weight(*parts[1].result);
  EXPECT_LT((product(b, a) - before).cwiseAbs().maxCoeff(), 1e-6F);
  // The second reads what the first puts out.
  const InputStatistics narrow = parts[1].inputs(inputs_);
  const Matrix expected = a * inputs_.moments().matrix() * a.transpose();
  EXPECT_LT((narrow.moments().matrix() - expected).cwiseAbs().maxCoeff(),
            1e-4F * expected.cwiseAbs().maxCoeff());
  EXPECT_EQ(narrow.tokens(), inputs_.tokens());
  // A part that is changed changes the whole.
  *parts[0].result = Matrix(2.0F * a);
  EXPECT_LT((compound.dense() - 2.0F * before).cwiseAbs().maxCoeff(), 1e-5F);
}

TEST_F(LowRankMethods, LqerKeepsWhatRoundingLosesMost) {
  const Given grid{{"bits", "2"}, {"group_size", "16"}};
  const auto with = [&](Given more) {
    more.insert(grid.begin(), grid.end());
    return more;
  };
  const Matrix rounded = compress("rtn", grid);
  const Matrix plain = compress("lqer", with({{"rank", "6"}, {"scaled", "false"}}));
  const Matrix scaled = compress("lqer", with({{"rank", "6"}}));
  // What is left is the tail of the singular values of what rounding lost.
  const Eigen::JacobiSVD<Eigen::MatrixXd> svd((weight_ - rounded).cast<double>());
  EXPECT_NEAR((weight_ - plain).norm(), svd.singularValues().tail(48 - 6).norm(), 1e-4);
  EXPECT_LT(output_error(scaled), output_error(plain));
  EXPECT_LT(output_error(plain), output_error(rounded));
  const Matrix all = compress("lqer", with({{"rank", "48"}}));
  EXPECT_LT((all - weight_).cwiseAbs().maxCoeff(), 1e-4F);
}

}  // namespace
}  // namespace terse
