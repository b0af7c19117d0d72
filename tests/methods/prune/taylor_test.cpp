#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "methods/prune/prune_support.h"
#include "terse/core/threads.h"

namespace terse::testing {
namespace {

Matrix prune_by(const Given& given, const Matrix& weight, const Matrix& scores) {
  LinearProblem problem{"layer", weight};
  problem.importance = scores;
  return std::get<Matrix>(compress("taylor", given, std::move(problem)));
}

// Scores as those of gradients: of very different sizes, none below 0.
Matrix some_scores(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  return random_matrix(rows, columns, seed).array().cube().abs();
}

// What the loss changes by, as the papers say.
double change(const Given& given, double weight, double score) {
  const auto kind = given.find("score");
  const bool fisher = kind != given.end() && kind->second == "fisher";
  return fisher ? weight * weight * score / 2 : score;
}

// Of the weights at `places` (row-major) the `count` of least change become zero.
void zero_least(Matrix& result, const Given& given, const Matrix& weight, const Matrix& scores,
                std::vector<std::int64_t> places, std::int64_t count) {
  std::ranges::stable_sort(places, {}, [&](std::int64_t i) {
    return change(given, weight.data()[i], scores.data()[i]);
  });
  for (std::int64_t i = 0; i < count; ++i) result.data()[places[static_cast<std::size_t>(i)]] = 0;
}

// The same for every `size` weights that follow each other.
Matrix reference(const Given& given, const Matrix& weight, const Matrix& scores, std::int64_t size,
                 std::int64_t count) {
  Matrix result = weight;
  for (std::int64_t first = 0; first < weight.size(); first += size) {
    std::vector<std::int64_t> places(static_cast<std::size_t>(size));
    std::iota(places.begin(), places.end(), first);
    zero_least(result, given, weight, scores, places, count);
  }
  return result;
}

Given with(Given given, const Given& more) {
  given.insert(more.begin(), more.end());
  return given;
}

class TaylorScores : public ::testing::TestWithParam<std::string> {};

TEST_P(TaylorScores, TheWeightsThatChangeTheLossLeastBecomeZero) {
  const Given score{{"score", GetParam()}};
  const Matrix weight = random_matrix(30, 96, 1);
  const Matrix scores = some_scores(30, 96, 2);
  for (const std::int64_t tenths : {0, 1, 5, 9, 10}) {
    const Given given = with(score, {{"sparsity", std::to_string(0.1 * double(tenths))}});
    EXPECT_TRUE(same_bytes(prune_by(given, weight, scores),
                           reference(given, weight, scores, 30 * 96, 30 * 96 * tenths / 10)));
  }
  const Given rows = with(score, {{"sparsity", "0.25"}, {"granularity", "row"}});
  EXPECT_TRUE(same_bytes(prune_by(rows, weight, scores), reference(rows, weight, scores, 96, 24)));
  const Given groups = with(score, {{"structure", "5:8"}});
  EXPECT_TRUE(
      same_bytes(prune_by(groups, weight, scores), reference(groups, weight, scores, 8, 5)));
}

// What was pruned comes first, whatever its score; then what no gradient reached.
TEST_P(TaylorScores, ZerosOfAnEarlierStepComeBeforeScoresOfZero) {
  Matrix weight = random_matrix(10, 96, 3);
  weight.rightCols(20).setZero();
  Matrix scores = some_scores(10, 96, 4);
  scores.leftCols(30).setZero();
  const Matrix result = prune_by(
      {{"score", GetParam()}, {"sparsity", "0.25"}, {"granularity", "row"}}, weight, scores);
  for (std::int64_t r = 0; r < 10; ++r) {
    EXPECT_EQ(zeros_of(result.row(r)), 24);
    EXPECT_EQ(zeros_of(result.row(r).leftCols(30)), 4);
  }
}

TEST_P(TaylorScores, ThreadsDoNotChangeABit) {
  const Matrix weight = random_matrix(301, 200, 5);
  const Matrix scores = some_scores(301, 200, 6);
  const int before = thread_count();
  set_thread_count(1);
  const Matrix one = prune_by({{"score", GetParam()}}, weight, scores);
  for (const int threads : {2, 3, 5}) {
    set_thread_count(threads);
    EXPECT_TRUE(same_bytes(prune_by({{"score", GetParam()}}, weight, scores), one));
  }
  set_thread_count(before);
}

INSTANTIATE_TEST_SUITE_P(Scores, TaylorScores, ::testing::Values("taylor", "fisher"),
                         [](const auto& score) { return score.param; });

TEST(Taylor, AsksForTheScoreOfItsOption) {
  const auto asked = [](const Given& given) {
    return make_linear_method("taylor", options_of("taylor", given), {})->importance();
  };
  EXPECT_EQ(asked({}), ImportanceScore::taylor);
  EXPECT_EQ(asked({{"score", "fisher"}}), ImportanceScore::fisher);
  EXPECT_EQ(make_linear_method("magnitude", options_of("magnitude", {}), {})->importance(),
            std::nullopt);
}

TEST(Taylor, ErrorsNameTheLinearOrTheOption) {
  const Matrix weight = random_matrix(4, 64, 7);
  EXPECT_THAT(message_of(ErrorKind::failed, [&] { prune_by({}, weight, Matrix()); }),
              ::testing::HasSubstr("layer: scores of [4, 64]"));
  EXPECT_THAT(message_of(ErrorKind::usage,
                         [&] {
                           prune_by({{"structure", "2:4"}, {"granularity", "row"}}, weight, weight);
                         }),
              ::testing::HasSubstr("option granularity"));
  EXPECT_THAT(message_of(ErrorKind::usage,
                         [&] {
                           prune_by({{"score", "second"}}, weight, weight);
                         }),
              ::testing::HasSubstr("taylor, fisher"));
}

}  // namespace
}  // namespace terse::testing
