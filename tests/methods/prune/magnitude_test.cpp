#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "methods/prune/prune_support.h"
#include "terse/core/threads.h"

namespace terse::testing {
namespace {

// Sets the `count` values of smallest |x| among `values` to zero, the earlier of equals.
void zero_smallest(std::vector<float*> values, std::int64_t count) {
  std::stable_sort(values.begin(), values.end(),
                   [](const float* a, const float* b) { return std::abs(*a) < std::abs(*b); });
  for (std::int64_t i = 0; i < count; ++i) *values[static_cast<std::size_t>(i)] = 0.0F;
}

std::vector<float*> pointers(Matrix& matrix, std::int64_t begin, std::int64_t count) {
  std::vector<float*> values;
  for (std::int64_t i = begin; i < begin + count; ++i) values.push_back(matrix.data() + i);
  return values;
}

// Values with many equal magnitudes, as those of checkpoints in 16 bits.
Matrix coarse_matrix(std::int64_t rows, std::int64_t columns) {
  Matrix weight = random_matrix(rows, columns, 3, 4.0);
  return weight.array().round() / 4.0F;
}

TEST(Magnitude, TheSmallestOfTheLinearBecomeZero) {
  for (const Matrix& weight : {random_matrix(33, 71, 1), coarse_matrix(33, 71)}) {
    for (const double sparsity : {0.0, 0.1, 0.37, 0.5, 0.9, 1.0}) {
      Matrix expected = weight;
      zero_smallest(pointers(expected, 0, expected.size()),
                    std::llround(sparsity * static_cast<double>(weight.size())));
      EXPECT_EQ(prune("magnitude", {{"sparsity", std::to_string(sparsity)}}, weight), expected)
          << sparsity;
    }
  }
}

TEST(Magnitude, TheSmallestOfEveryRowBecomeZero) {
  for (const Matrix& weight : {random_matrix(33, 71, 1), coarse_matrix(33, 71)}) {
    for (const double sparsity : {0.0, 0.37, 0.5, 1.0}) {
      Matrix expected = weight;
      for (std::int64_t r = 0; r < weight.rows(); ++r) {
        zero_smallest(pointers(expected, r * 71, 71), std::llround(sparsity * 71.0));
      }
      const Given given{{"sparsity", std::to_string(sparsity)}, {"granularity", "row"}};
      EXPECT_EQ(prune("magnitude", given, weight), expected) << sparsity;
    }
  }
}

TEST(Magnitude, TheSmallestOfEveryGroupBecomeZero) {
  struct Pattern {
    std::int64_t zeros;
    std::int64_t size;
  };
  for (const Matrix& weight : {random_matrix(9, 96, 1), coarse_matrix(9, 96)}) {
    for (const Pattern p :
         {Pattern{2, 4}, Pattern{1, 4}, Pattern{4, 8}, Pattern{2, 3}, Pattern{31, 32}}) {
      Matrix expected = weight;
      for (std::int64_t i = 0; i < weight.size(); i += p.size) {
        zero_smallest(pointers(expected, i, p.size), p.zeros);
      }
      const std::string structure = std::to_string(p.zeros) + ":" + std::to_string(p.size);
      EXPECT_EQ(prune("magnitude", {{"structure", structure}}, weight), expected) << structure;
    }
  }
}

TEST(Magnitude, NoSparsityChangesNoBit) {
  Matrix weight = random_matrix(5, 8, 1);
  weight(1, 1) = -0.0F;
  weight(2, 2) = 1e-42F;
  EXPECT_TRUE(same_bytes(prune("magnitude", {{"sparsity", "0"}}, weight), weight));
}

TEST(Magnitude, ZerosOfAnEarlierStepCount) {
  const Matrix sparse = prune("magnitude", {{"sparsity", "0.3"}}, random_matrix(40, 50, 2));
  const Matrix more = prune("magnitude", {{"sparsity", "0.5"}}, sparse, nullptr, true);
  EXPECT_EQ(zeros_of(more), 1000);
  EXPECT_TRUE((sparse.array() != 0.0F || more.array() == 0.0F).all());
}

TEST(Magnitude, ThreadsDoNotChangeABit) {
  const Matrix weight = coarse_matrix(301, 200);
  const int before = thread_count();
  set_thread_count(1);
  const Matrix one = prune("magnitude", {{"sparsity", "0.55"}}, weight);
  for (const int threads : {2, 3, 5}) {
    set_thread_count(threads);
    EXPECT_TRUE(same_bytes(prune("magnitude", {{"sparsity", "0.55"}}, weight), one));
  }
  set_thread_count(before);
}

TEST(Magnitude, ErrorsNameTheLinearOrTheOption) {
  Matrix broken = random_matrix(4, 64, 16);
  broken(2, 3) = std::numeric_limits<float>::infinity();
  EXPECT_THAT(message_of(ErrorKind::bad_input, [&] { prune("magnitude", {}, broken); }),
              ::testing::HasSubstr("layer: row 2"));
  const auto usage = [&](const Given& given) {
    return message_of(ErrorKind::usage,
                      [&] { prune("magnitude", given, random_matrix(4, 64, 16)); });
  };
  EXPECT_THAT(usage({{"structure", "2:4"}, {"granularity", "row"}}),
              ::testing::HasSubstr("option granularity"));
  EXPECT_THAT(usage({{"allocation", "global"}, {"granularity", "row"}}),
              ::testing::HasSubstr("option granularity"));
}

}  // namespace
}  // namespace terse::testing
