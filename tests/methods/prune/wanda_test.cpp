#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "methods/prune/prune_support.h"
#include "terse/core/threads.h"

namespace terse::testing {
namespace {

// Sun et al. 2023, section 3 and algorithm 1: in every `size` consecutive inputs of a row, the
// `zeros` with the smallest |W_ij| ||X_j|| become zero.
Matrix reference_wanda(const Matrix& weight, const Matrix& inputs, std::int64_t zeros,
                       std::int64_t size) {
  Matrix result = weight;
  const Eigen::VectorXd norms = inputs.cast<double>().colwise().norm();
  for (std::int64_t r = 0; r < weight.rows(); ++r) {
    for (std::int64_t first = 0; first < weight.cols(); first += size) {
      std::vector<std::int64_t> columns(static_cast<std::size_t>(size));
      std::iota(columns.begin(), columns.end(), first);
      std::ranges::stable_sort(columns, {}, [&](std::int64_t c) {
        return std::abs(static_cast<double>(weight(r, c))) * norms[c];
      });
      for (std::int64_t i = 0; i < zeros; ++i) result(r, columns[static_cast<std::size_t>(i)]) = 0;
    }
  }
  return result;
}

InputStatistics norms_of(const Matrix& inputs) {
  InputStatistics statistics(inputs.cols(), {.norms = true});
  statistics.add(inputs);
  return statistics;
}

TEST(Wanda, TheLeastProductsOfEveryRowBecomeZero) {
  const Matrix weight = random_matrix(40, 96, 1);
  const Matrix inputs = correlated_inputs(200, 96, 2);
  const InputStatistics norms = norms_of(inputs);
  const InputStatistics moments = statistics_of(inputs);
  for (const std::int64_t zeros : {0, 10, 48, 96}) {
    const Given given{{"sparsity", std::to_string(static_cast<double>(zeros) / 96.0)}};
    const Matrix expected = reference_wanda(weight, inputs, zeros, 96);
    EXPECT_TRUE(same_bytes(prune("wanda", given, weight, &norms), expected));
    EXPECT_TRUE(same_bytes(prune("wanda", given, weight, &moments), expected));
  }
}

TEST(Wanda, TheLeastProductsOfEveryGroupBecomeZero) {
  const Matrix weight = random_matrix(40, 96, 1);
  const Matrix inputs = correlated_inputs(200, 96, 2);
  const InputStatistics norms = norms_of(inputs);
  EXPECT_EQ(prune("wanda", {{"structure", "2:4"}}, weight, &norms),
            reference_wanda(weight, inputs, 2, 4));
  EXPECT_EQ(prune("wanda", {{"structure", "5:8"}}, weight, &norms),
            reference_wanda(weight, inputs, 5, 8));
}

TEST(Wanda, EqualNormsAreMagnitudeByRow) {
  const Matrix weight = random_matrix(30, 70, 1);
  const InputStatistics norms = norms_of(Matrix::Identity(70, 70));
  EXPECT_TRUE(same_bytes(prune("wanda", {}, weight, &norms),
                         prune("magnitude", {{"granularity", "row"}}, weight)));
}

TEST(Wanda, ZerosOfAnEarlierStepComeBeforeDeadInputs) {
  Matrix inputs = correlated_inputs(200, 96, 2);
  inputs.leftCols(30).setZero();
  const InputStatistics norms = norms_of(inputs);
  Matrix weight = random_matrix(10, 96, 3);
  weight.rightCols(20).setZero();
  const Matrix result = prune("wanda", {{"sparsity", "0.25"}}, weight, &norms, true);
  for (std::int64_t r = 0; r < 10; ++r) {
    EXPECT_EQ(zeros_of(result.row(r)), 24);
    EXPECT_EQ(zeros_of(result.row(r).leftCols(30)), 4);
    EXPECT_EQ(zeros_of(result.row(r).rightCols(20)), 20);
  }
}

TEST(Wanda, InputsThatAreAllZeroStillGiveTheCount) {
  const InputStatistics norms = norms_of(Matrix::Zero(10, 64));
  const Matrix weight = random_matrix(10, 64, 3);
  EXPECT_EQ(zeros_of(prune("wanda", {}, weight, &norms)), 320);
  EXPECT_TRUE(has_pattern(prune("wanda", {{"structure", "2:4"}}, weight, &norms), 2, 4));
}

TEST(Wanda, ThreadsDoNotChangeABit) {
  const Matrix weight = random_matrix(301, 200, 4);
  const Matrix inputs = correlated_inputs(300, 200, 5);
  const int before = thread_count();
  set_thread_count(1);
  const InputStatistics norms = norms_of(inputs);
  const Matrix one = prune("wanda", {}, weight, &norms);
  for (const int threads : {2, 3, 5}) {
    set_thread_count(threads);
    const InputStatistics again = norms_of(inputs);
    EXPECT_TRUE(same_bytes(prune("wanda", {}, weight, &again), one));
  }
  set_thread_count(before);
}

TEST(Wanda, ErrorsNameTheLinear) {
  const Matrix weight = random_matrix(4, 64, 16);
  const auto failed = [&](const InputStatistics* inputs) {
    return message_of(ErrorKind::failed, [&] { prune("wanda", {}, weight, inputs); });
  };
  EXPECT_THAT(failed(nullptr), ::testing::HasSubstr("layer: norms"));
  const InputStatistics other = norms_of(Matrix::Ones(3, 32));
  EXPECT_THAT(failed(&other), ::testing::HasSubstr("layer: norms of 32 inputs"));
  const InputStatistics unseen(64, {.norms = true});
  EXPECT_THAT(failed(&unseen), ::testing::HasSubstr("layer: no calibration input"));
}

}  // namespace
}  // namespace terse::testing
