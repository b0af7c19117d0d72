#include <cmath>
#include <limits>

#include "methods/prune/prune_support.h"
#include "methods/prune/sparsegpt_reference.h"
#include "terse/core/threads.h"
#include "terse/methods/output_error.h"

namespace terse::testing {
namespace {

InputStatistics identity_inputs(std::int64_t columns) {
  InputStatistics statistics(columns, {.second_moments = true});
  statistics.add(Matrix::Identity(columns, columns));
  return statistics;
}

struct Case {
  std::string name;
  PruningReferenceOptions reference;
  Given given;
  std::int64_t rows;
  std::int64_t columns;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.name;
}

class SparseGptReference : public ::testing::TestWithParam<Case> {};

// The reference takes our choice and says how far it is from its own scores, so that weights of
// almost equal scores cannot lead the two apart.
TEST_P(SparseGptReference, SameChoiceAndWeights) {
  const Case& c = GetParam();
  const Matrix weight = random_matrix(c.rows, c.columns, 7, 0.05);
  const InputStatistics statistics = statistics_of(correlated_inputs(3 * c.columns, c.columns, 8));
  const Matrix result = prune("sparsegpt", c.given, weight, &statistics);
  const Mask mask = result.array() == 0.0F;
  PruningReferenceOptions options = c.reference;
  options.mask = &mask;
  const PruningReference expected =
      reference_sparsegpt(options, weight, statistics.moments().matrix());
  EXPECT_LT(expected.violation, 1.0 + 1e-3);
  EXPECT_LT((result.cast<double>() - expected.dense).norm(), 1e-4 * expected.dense.norm());
  if (c.reference.size > 0) {
    EXPECT_TRUE(has_pattern(result, c.reference.zeros, c.reference.size));
  } else {
    EXPECT_EQ(zeros_of(result),
              std::llround(static_cast<double>(weight.size()) * c.reference.sparsity));
  }
}

INSTANTIATE_TEST_SUITE_P(
    SparseGpt, SparseGptReference,
    ::testing::Values(Case{"half", {}, {}, 33, 172}, Case{"wide", {}, {}, 20, 700},
                      Case{"many_rows", {.sparsity = 0.7}, {{"sparsity", "0.7"}}, 1100, 150},
                      Case{"odd_share", {.sparsity = 0.123}, {{"sparsity", "0.123"}}, 67, 301},
                      Case{"block_1",
                           {.sparsity = 0.4, .block_size = 1},
                           {{"sparsity", "0.4"}, {"block_size", "1"}},
                           40,
                           65},
                      Case{"block_50", {.block_size = 50}, {{"block_size", "50"}}, 9, 172},
                      Case{"block_of_all", {.block_size = 4096}, {{"block_size", "4096"}}, 17, 640},
                      Case{"block_200", {.block_size = 200}, {{"block_size", "200"}}, 17, 1290},
                      Case{"little_damping", {.percdamp = 1e-4}, {{"percdamp", "0.0001"}}, 33, 320},
                      Case{"2_of_4", {.zeros = 2, .size = 4}, {{"structure", "2:4"}}, 70, 300},
                      Case{"2_of_4_wide", {.zeros = 2, .size = 4}, {{"structure", "2:4"}}, 9, 1032},
                      Case{"4_of_8", {.zeros = 4, .size = 8}, {{"structure", "4:8"}}, 33, 160},
                      Case{"1_of_4", {.zeros = 1, .size = 4}, {{"structure", "1:4"}}, 33, 172},
                      Case{"2_of_3", {.zeros = 2, .size = 3}, {{"structure", "2:3"}}, 33, 528},
                      Case{
                          "17_of_32", {.zeros = 17, .size = 32}, {{"structure", "17:32"}}, 5, 160}),
    [](const auto& test) { return test.param.name; });

class SparseGptJoint : public ::testing::TestWithParam<Case> {};

TEST_P(SparseGptJoint, SameWeightsOnTheGrids) {
  const Case& c = GetParam();
  const Matrix weight = random_matrix(c.rows, c.columns, 7, 0.05);
  const InputStatistics statistics = statistics_of(correlated_inputs(3 * c.columns, c.columns, 8));
  const auto result =
      std::get<QuantizedMatrix>(compress("sparsegpt", c.given, {"layer", weight, &statistics}));
  const PruningReference expected =
      reference_sparsegpt(c.reference, weight, statistics.moments().matrix());
  // Values halfway between two points and scores next to the threshold may go either way, and then
  // later ones of the row may too.
  const MatrixXd dense = result.dense().cast<double>();
  const auto differing = ((dense - expected.dense).array().abs() > 1e-5).count();
  EXPECT_LT(static_cast<double>(differing), 2e-3 * static_cast<double>(weight.size()));
  const double error = relative_output_error(weight, result.dense(), statistics.moments());
  const double expected_error =
      relative_output_error(weight, expected.dense.cast<float>(), statistics.moments());
  EXPECT_NEAR(error / expected_error, 1.0, 2e-3);
}

INSTANTIATE_TEST_SUITE_P(SparseGpt, SparseGptJoint,
                         ::testing::Values(Case{"channel", {.bits = 4}, {{"bits", "4"}}, 33, 172},
                                           Case{"channel_wide",
                                                {.sparsity = 0.3, .bits = 3},
                                                {{"bits", "3"}, {"sparsity", "0.3"}},
                                                20,
                                                700},
                                           Case{"group_symmetric",
                                                {.bits = 4, .symmetric = true, .group_size = 43},
                                                {{"bits", "4"},
                                                 {"symmetric", "true"},
                                                 {"strategy", "group"},
                                                 {"group_size", "43"}},
                                                33,
                                                172},
                                           Case{"2_of_4",
                                                {.zeros = 2, .size = 4, .bits = 4},
                                                {{"bits", "4"}, {"structure", "2:4"}},
                                                70,
                                                300}),
                         [](const auto& test) { return test.param.name; });

TEST(SparseGpt, JointResultHasTheZerosAskedFor) {
  const Matrix weight = random_matrix(40, 256, 3);
  const InputStatistics statistics = statistics_of(correlated_inputs(600, 256, 4));
  for (const std::string symmetric : {"true", "false"}) {
    const auto result = std::get<QuantizedMatrix>(
        compress("sparsegpt", {{"bits", "8"}, {"structure", "2:4"}, {"symmetric", symmetric}},
                 {"layer", weight, &statistics}));
    const Matrix dense = result.dense();
    for (std::int64_t r = 0; r < dense.rows(); ++r) {
      for (std::int64_t c = 0; c < dense.cols(); c += 4) {
        ASSERT_GE(zeros_of(dense.block(r, c, 1, 4)), 2);
      }
    }
  }
}

TEST(SparseGpt, JointWithoutSparsityIsGptq) {
  const Matrix weight = random_matrix(70, 700, 5);
  const InputStatistics statistics = statistics_of(correlated_inputs(900, 700, 6));
  const auto joint = std::get<QuantizedMatrix>(
      compress("sparsegpt", {{"bits", "3"}, {"sparsity", "0"}}, {"layer", weight, &statistics}));
  const auto gptq = std::get<QuantizedMatrix>(
      compress("gptq", {{"bits", "3"}, {"strategy", "channel"}}, {"layer", weight, &statistics}));
  EXPECT_EQ(joint.codes, gptq.codes);
  EXPECT_EQ(joint.scales, gptq.scales);
  EXPECT_EQ(joint.zeros, gptq.zeros);
}

TEST(SparseGpt, NoSparsityChangesNothing) {
  Matrix inputs = correlated_inputs(100, 96, 4);
  inputs.col(3).setZero();
  const InputStatistics statistics = statistics_of(inputs);
  Matrix weight = random_matrix(20, 96, 5);
  weight(1, 2) = -0.0F;
  EXPECT_TRUE(same_bytes(prune("sparsegpt", {{"sparsity", "0"}}, weight, &statistics), weight));
}

// What is not pruned, and has no pruned column before it, keeps every bit.
TEST(SparseGpt, ColumnsBeforeTheFirstZeroKeepTheirBits) {
  Matrix weight = random_matrix(20, 200, 5);
  weight.col(150).setConstant(1e-6F);
  const InputStatistics statistics = statistics_of(correlated_inputs(500, 200, 4));
  const Matrix result =
      prune("sparsegpt", {{"sparsity", "0.005"}, {"block_size", "200"}}, weight, &statistics);
  EXPECT_EQ(zeros_of(result), 20);
  EXPECT_TRUE(result.col(150).isZero(0.0F));
  EXPECT_TRUE(same_bytes(result.leftCols(150), weight.leftCols(150)));
  EXPECT_FALSE(same_bytes(result.rightCols(49), weight.rightCols(49)));
}

TEST(SparseGpt, FullSparsityLeavesNothing) {
  const InputStatistics statistics = statistics_of(correlated_inputs(500, 200, 4));
  const Matrix weight = random_matrix(70, 200, 5);
  EXPECT_TRUE(prune("sparsegpt", {{"sparsity", "1"}}, weight, &statistics).isZero(0.0F));
}

TEST(SparseGpt, IdentityHessianIsMagnitudeOverTheBlock) {
  const InputStatistics statistics = identity_inputs(96);
  const Matrix weight = random_matrix(70, 96, 1);
  EXPECT_TRUE(
      same_bytes(prune("sparsegpt", {}, weight, &statistics), prune("magnitude", {}, weight)));
  EXPECT_TRUE(same_bytes(prune("sparsegpt", {{"structure", "2:4"}}, weight, &statistics),
                         prune("magnitude", {{"structure", "2:4"}}, weight)));
}

TEST(SparseGpt, LosesLessThanWandaAndWandaLessThanMagnitude) {
  const Matrix weight = random_matrix(64, 256, 2);
  const InputStatistics statistics = statistics_of(correlated_inputs(1024, 256, 3));
  for (const Given& given : {Given{}, Given{{"sparsity", "0.8"}}, Given{{"structure", "2:4"}}}) {
    const auto error = [&](const std::string& method) {
      return relative_output_error(weight, prune(method, given, weight, &statistics),
                                   statistics.moments());
    };
    EXPECT_LT(error("sparsegpt"), 0.8 * error("wanda"));
    EXPECT_LT(error("wanda"), 0.9 * error("magnitude"));
  }
}

TEST(SparseGpt, ThreadsDoNotChangeABit) {
  const Matrix weight = random_matrix(1100, 640, 8);
  const InputStatistics statistics = statistics_of(correlated_inputs(700, 640, 9));
  const int before = thread_count();
  for (const Given& given : {Given{}, Given{{"structure", "2:4"}}, Given{{"bits", "4"}}}) {
    set_thread_count(1);
    const LinearResult one = compress("sparsegpt", given, {"layer", weight, &statistics});
    for (const int threads : {2, 3, 5}) {
      set_thread_count(threads);
      const LinearResult more = compress("sparsegpt", given, {"layer", weight, &statistics});
      EXPECT_TRUE(same_bytes(dense_weight(one), dense_weight(more))) << threads;
    }
  }
  set_thread_count(before);
}

TEST(SparseGpt, ZerosOfAnEarlierStepStayAndCount) {
  const std::int64_t columns = 256;
  const InputStatistics statistics = statistics_of(correlated_inputs(900, columns, 3));
  const Matrix sparse =
      prune("wanda", {{"sparsity", "0.4"}}, random_matrix(50, columns, 4), &statistics);
  const auto keeps = [&](const Matrix& result) {
    return (sparse.array() != 0.0F || result.array() == 0.0F).all();
  };
  const Matrix half = prune("sparsegpt", {{"sparsity", "0.5"}}, sparse, &statistics, true);
  EXPECT_TRUE(keeps(half));
  EXPECT_EQ(zeros_of(half), half.size() / 2);
  // More zeros than asked for: none is lost, none is added, and nothing moves.
  const Matrix less = prune("sparsegpt", {{"sparsity", "0.2"}}, sparse, &statistics, true);
  EXPECT_TRUE(same_bytes(less, sparse));

  const Matrix quarter =
      prune("wanda", {{"structure", "1:4"}}, random_matrix(50, columns, 4), &statistics);
  const Matrix pattern = prune("sparsegpt", {{"structure", "2:4"}}, quarter, &statistics, true);
  EXPECT_TRUE(has_pattern(pattern, 2, 4));
  EXPECT_TRUE((quarter.array() != 0.0F || pattern.array() == 0.0F).all());

  // Rounding errors alone would move many of them.
  const Given joint{{"bits", "4"}, {"sparsity", "0"}};
  for (const bool keep : {true, false}) {
    const LinearProblem problem{"layer", sparse, &statistics, keep};
    EXPECT_EQ(keeps(dense_weight(compress("sparsegpt", joint, problem))), keep);
  }
}

TEST(SparseGpt, DeadInputsArePruned) {
  Matrix inputs = correlated_inputs(400, 96, 4);
  for (const int column : {0, 50, 95}) inputs.col(column).setZero();
  const InputStatistics statistics = statistics_of(inputs);
  const Matrix weight = random_matrix(20, 96, 5);
  const Matrix result = prune("sparsegpt", {{"sparsity", "0.1"}}, weight, &statistics);
  for (const int column : {0, 50, 95}) EXPECT_TRUE(result.col(column).isZero(0.0F));
  EXPECT_EQ(zeros_of(result), 192);
  const Mask mask = result.array() == 0.0F;
  const PruningReference expected =
      reference_sparsegpt({.sparsity = 0.1, .mask = &mask}, weight, statistics.moments().matrix());
  EXPECT_LT(expected.violation, 1.0 + 1e-3);
  EXPECT_LT((result.cast<double>() - expected.dense).norm(), 1e-4 * expected.dense.norm());
}

TEST(SparseGpt, InputsThatAreAllZeroWork) {
  const InputStatistics statistics = statistics_of(Matrix::Zero(30, 64));
  const Matrix weight = random_matrix(20, 64, 5);
  EXPECT_TRUE(prune("sparsegpt", {}, weight, &statistics).isZero(0.0F));
  EXPECT_TRUE(prune("sparsegpt", {{"structure", "2:4"}}, weight, &statistics).isZero(0.0F));
}

TEST(SparseGpt, FewerTokensThanInputsWork) {
  const Matrix weight = random_matrix(30, 200, 6);
  const InputStatistics statistics = statistics_of(correlated_inputs(20, 200, 7));
  const double magnitude =
      relative_output_error(weight, prune("magnitude", {}, weight), statistics.moments());
  for (const std::string percdamp : {"0", "1e-9", "0.01"}) {
    for (const std::string structure : {"unstructured", "2:4"}) {
      const Matrix result = prune("sparsegpt", {{"percdamp", percdamp}, {"structure", structure}},
                                  weight, &statistics);
      EXPECT_LT(relative_output_error(weight, result, statistics.moments()), 0.5 * magnitude)
          << percdamp << " " << structure;
      EXPECT_EQ(zeros_of(result), result.size() / 2);
    }
  }
}

TEST(SparseGpt, LinearsTogetherAreThoseAlone) {
  const InputStatistics statistics = statistics_of(correlated_inputs(300, 64, 10));
  const auto method = make_linear_method("sparsegpt", options_of("sparsegpt", {}), {});
  const Matrix first = random_matrix(40, 64, 11);
  const Matrix second = random_matrix(8, 64, 12);
  const auto together =
      method->compress_all({{"a", first, &statistics}, {"b", second, &statistics}});
  ASSERT_EQ(together.size(), 2U);
  EXPECT_EQ(dense_weight(together[0]), prune("sparsegpt", {}, first, &statistics));
  EXPECT_EQ(dense_weight(together[1]), prune("sparsegpt", {}, second, &statistics));
}

TEST(SparseGpt, ErrorsNameTheLinearOrTheOption) {
  const InputStatistics statistics = statistics_of(correlated_inputs(300, 64, 15));
  const Matrix weight = random_matrix(4, 64, 16);
  const auto bad_input_message = [&](const Matrix& broken) {
    return message_of(ErrorKind::bad_input, [&] { prune("sparsegpt", {}, broken, &statistics); });
  };
  Matrix broken = weight;
  broken(2, 3) = std::nanf("");
  EXPECT_THAT(bad_input_message(broken), ::testing::HasSubstr("layer: row 2"));
  EXPECT_THAT(bad_input_message(Matrix(0, 64)), ::testing::HasSubstr("layer"));
  EXPECT_THAT(message_of(ErrorKind::failed, [&] { prune("sparsegpt", {}, weight); }),
              ::testing::HasSubstr("layer"));
  const InputStatistics unseen(64, {.second_moments = true});
  EXPECT_THAT(message_of(ErrorKind::failed, [&] { prune("sparsegpt", {}, weight, &unseen); }),
              ::testing::HasSubstr("layer: no calibration input"));
  const auto usage = [&](const Given& given) {
    return message_of(ErrorKind::usage, [&] { prune("sparsegpt", given, weight, &statistics); });
  };
  EXPECT_THAT(usage({{"bits", "1"}}), ::testing::HasSubstr("option bits"));
  EXPECT_THAT(usage({{"symmetric", "true"}}), ::testing::HasSubstr("option symmetric"));
  EXPECT_THAT(usage({{"bits", "4"}, {"group_size", "32"}}),
              ::testing::HasSubstr("option group_size"));
  EXPECT_THAT(usage({{"bits", "4"}, {"strategy", "group"}, {"group_size", "7"}}),
              ::testing::HasSubstr("layer: group_size 7"));
  EXPECT_THAT(usage({{"structure", "2:4"}, {"block_size", "64"}}),
              ::testing::HasSubstr("option block_size"));
  EXPECT_THAT(usage({{"structure", "2:5"}}), ::testing::HasSubstr("layer: structure 2:5"));
}

}  // namespace
}  // namespace terse::testing
