#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "methods/quantize/gptq_reference.h"
#include "methods/random_problems.h"
#include "terse/core/error.h"
#include "terse/core/threads.h"
#include "terse/methods/method.h"
#include "terse/methods/output_error.h"

namespace terse::testing {
namespace {

using Given = std::map<std::string, std::string>;

std::unique_ptr<LinearMethod> make(const std::string& name, const Given& given,
                                   const MethodContext& context = {}) {
  const MethodOptions options(MethodRegistry::instance().find(name), given);
  return make_linear_method(name, options, context);
}

QuantizedMatrix compress(const std::string& name, const Given& given, const Matrix& weight,
                         const InputStatistics& statistics) {
  return std::get<QuantizedMatrix>(make(name, given)->compress({"layer", weight, &statistics}));
}

double weighted_error(const MatrixXd& weight, const MatrixXd& dense, const Matrix& moments) {
  const MatrixXd error = weight - dense;
  return (error * moments.cast<double>()).cwiseProduct(error).sum();
}

struct Case {
  std::string name;
  ReferenceOptions reference;
  Given given;
  std::int64_t rows;
  std::int64_t columns;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.name;
}

class AgainstReference : public ::testing::TestWithParam<Case> {};

TEST_P(AgainstReference, SameCodesAndError) {
  const Case& c = GetParam();
  const Matrix weight = random_matrix(c.rows, c.columns, 7, 0.05);
  const InputStatistics statistics = statistics_of(correlated_inputs(3 * c.columns, c.columns, 8));
  const QuantizedMatrix result = compress("gptq", c.given, weight, statistics);
  const ReferenceResult expected =
      reference_gptq(c.reference, weight, statistics.moments().matrix());

  // A value halfway between two points may go either way, and then later ones of its row may too:
  // on which row depends on the rounding of the processor's products.
  std::set<std::int64_t> differing;
  for (std::size_t i = 0; i < result.codes.size(); ++i) {
    if (result.codes[i] != expected.codes[i]) {
      differing.insert(static_cast<std::int64_t>(i) / weight.cols());
    }
  }
  const auto rows = static_cast<double>(differing.size());
  EXPECT_LE(rows, 0.1 * static_cast<double>(weight.rows()));
  const double error = weighted_error(weight.cast<double>(), result.dense().cast<double>(),
                                      statistics.moments().matrix());
  const double expected_error =
      weighted_error(weight.cast<double>(), expected.dense, statistics.moments().matrix());
  EXPECT_NEAR(error / expected_error, 1.0, 1e-3 + 0.1 * rows / static_cast<double>(weight.rows()));
}

INSTANTIATE_TEST_SUITE_P(
    Gptq, AgainstReference,
    ::testing::Values(
        Case{"channel", {}, {{"strategy", "channel"}}, 33, 172},
        Case{"channel_symmetric_3",
             {.bits = 3, .symmetric = true},
             {{"strategy", "channel"}, {"symmetric", "true"}, {"bits", "3"}},
             70,
             300},
        Case{"channel_block_1", {}, {{"strategy", "channel"}, {"block_size", "1"}}, 9, 65},
        Case{"channel_block_50", {}, {{"strategy", "channel"}, {"block_size", "50"}}, 9, 172},
        Case{"channel_wide", {.bits = 2}, {{"strategy", "channel"}, {"bits", "2"}}, 5, 700},
        Case{"channel_desc_act",
             {.desc_act = true},
             {{"strategy", "channel"}, {"desc_act", "true"}},
             20,
             172},
        Case{"tensor",
             {.bits = 8, .group_size = -1},
             {{"strategy", "tensor"}, {"bits", "8"}},
             20,
             172},
        Case{"group_43", {.group_size = 43}, {{"group_size", "43"}}, 33, 172},
        Case{"group_4_block_7",
             {.group_size = 4},
             {{"group_size", "4"}, {"block_size", "7"}},
             33,
             172},
        Case{"group_128", {.bits = 3, .group_size = 128}, {{"bits", "3"}}, 17, 640},
        Case{"group_86_symmetric",
             {.symmetric = true, .group_size = 86},
             {{"group_size", "86"}, {"symmetric", "true"}},
             17,
             172},
        Case{"group_350", {.group_size = 350}, {{"group_size", "350"}}, 17, 700},
        Case{"group_43_desc_act",
             {.group_size = 43, .desc_act = true},
             {{"group_size", "43"}, {"desc_act", "true"}},
             33,
             172},
        Case{"group_43_desc_act_static",
             {.group_size = 43, .desc_act = true, .static_groups = true},
             {{"group_size", "43"}, {"desc_act", "true"}, {"static_groups", "true"}},
             33,
             172},
        Case{"group_32_static",
             {.group_size = 32, .static_groups = true},
             {{"group_size", "32"}, {"static_groups", "true"}},
             33,
             320},
        Case{"little_damping",
             {.group_size = 32, .percdamp = 1e-4},
             {{"group_size", "32"}, {"percdamp", "0.0001"}},
             33,
             320},
        Case{"many_rows", {.group_size = 16}, {{"group_size", "16"}}, 1100, 48}),
    [](const auto& test) { return test.param.name; });

TEST(Gptq, IdentityHessianIsRoundToNearest) {
  const Matrix weight = random_matrix(70, 96, 1);
  InputStatistics statistics(96, {.second_moments = true});
  statistics.add(Matrix::Identity(96, 96));
  for (const Given& given : {Given{{"group_size", "32"}}, Given{{"strategy", "channel"}},
                             Given{{"strategy", "tensor"}, {"clip", "mse"}},
                             Given{{"group_size", "48"}, {"clip", "mse"}, {"bits", "2"}}}) {
    const QuantizedMatrix gptq = compress("gptq", given, weight, statistics);
    const QuantizedMatrix rtn = compress("rtn", given, weight, statistics);
    EXPECT_EQ(gptq.codes, rtn.codes);
    EXPECT_EQ(gptq.scales, rtn.scales);
    EXPECT_EQ(gptq.zeros, rtn.zeros);
  }
}

TEST(Gptq, LowersTheErrorOfTheOutput) {
  const Matrix weight = random_matrix(64, 256, 2);
  const InputStatistics statistics = statistics_of(correlated_inputs(1024, 256, 3));
  for (const std::string bits : {"2", "3", "4", "8"}) {
    const Given given{{"bits", bits}, {"group_size", "64"}};
    const double gptq = relative_output_error(
        weight, compress("gptq", given, weight, statistics).dense(), statistics.moments());
    const double rtn = relative_output_error(
        weight, compress("rtn", given, weight, statistics).dense(), statistics.moments());
    EXPECT_LT(gptq, 0.7 * rtn) << bits;
  }
}

TEST(Gptq, DeadInputsBecomeZeroAndChangeNothingElse) {
  const std::int64_t columns = 96;
  Matrix inputs = correlated_inputs(400, columns, 4);
  inputs.col(0).setZero();
  inputs.col(50).setZero();
  inputs.col(95).setZero();
  const Matrix weight = random_matrix(20, columns, 5);
  const InputStatistics statistics = statistics_of(inputs);
  const Given given{{"group_size", "32"}};
  const QuantizedMatrix result = compress("gptq", given, weight, statistics);
  const Matrix dense = result.dense();
  for (const int column : {0, 50, 95}) EXPECT_TRUE(dense.col(column).isZero(0.0F));
  const ReferenceResult expected =
      reference_gptq({.group_size = 32}, weight, statistics.moments().matrix());
  EXPECT_LT((dense.cast<double>() - expected.dense).norm(), 1e-5 * expected.dense.norm());
}

TEST(Gptq, FewerTokensThanInputsWork) {
  const Matrix weight = random_matrix(30, 200, 6);
  const InputStatistics statistics = statistics_of(correlated_inputs(20, 200, 7));
  const Given groups{{"group_size", "100"}};
  const double rtn = relative_output_error(
      weight, compress("rtn", groups, weight, statistics).dense(), statistics.moments());
  for (const std::string percdamp : {"0", "1e-9", "0.01"}) {
    Given given = groups;
    given["percdamp"] = percdamp;
    const double gptq = relative_output_error(
        weight, compress("gptq", given, weight, statistics).dense(), statistics.moments());
    EXPECT_LT(gptq, 0.5 * rtn) << percdamp;
  }
}

TEST(Gptq, ThreadsDoNotChangeABit) {
  const Matrix weight = random_matrix(1100, 600, 8);
  const InputStatistics statistics = statistics_of(correlated_inputs(700, 600, 9));
  const int before = thread_count();
  for (const Given& given :
       {Given{{"group_size", "120"}, {"desc_act", "true"}},
        Given{{"strategy", "tensor"}, {"clip", "mse"}, {"scale_dtype", "float16"}}}) {
    set_thread_count(1);
    const QuantizedMatrix one = compress("gptq", given, weight, statistics);
    for (const int threads : {2, 3, 5}) {
      set_thread_count(threads);
      const QuantizedMatrix more = compress("gptq", given, weight, statistics);
      EXPECT_EQ(one.codes, more.codes);
      EXPECT_EQ(one.scales, more.scales);
      EXPECT_EQ(one.zeros, more.zeros);
    }
  }
  set_thread_count(before);
}

TEST(Gptq, LinearsTogetherAreThoseAlone) {
  const InputStatistics statistics = statistics_of(correlated_inputs(300, 64, 10));
  const auto method = make("gptq", {{"group_size", "32"}});
  const Matrix first = random_matrix(40, 64, 11);
  const Matrix second = random_matrix(8, 64, 12);
  const auto together =
      method->compress_all({{"a", first, &statistics}, {"b", second, &statistics}});
  ASSERT_EQ(together.size(), 2U);
  EXPECT_EQ(dense_weight(together[0]), dense_weight(method->compress({"a", first, &statistics})));
  EXPECT_EQ(dense_weight(together[1]), dense_weight(method->compress({"b", second, &statistics})));
}

// The weights that are left make up for the zeros: the output error is below that of putting the
// zeros back into what rounds everything.
TEST(Gptq, ZerosOfAnEarlierStepStay) {
  Matrix weight = random_matrix(50, 192, 13);
  for (std::int64_t i = 0; i < weight.size(); i += 1 + i % 3) weight.data()[i] = 0.0F;
  const InputStatistics statistics = statistics_of(correlated_inputs(500, 192, 14));
  for (const Given& given :
       {Given{{"group_size", "32"}, {"bits", "3"}},
        Given{{"strategy", "channel"}, {"bits", "3"}, {"symmetric", "true"}},
        Given{{"group_size", "48"}, {"bits", "3"}, {"desc_act", "true"}, {"clip", "mse"}}}) {
    const auto kept = std::get<QuantizedMatrix>(
        make("gptq", given)->compress({"layer", weight, &statistics, true}));
    const Matrix dense = kept.dense();
    EXPECT_TRUE((weight.array() != 0.0F || dense.array() == 0.0F).all());
    for (std::int64_t r = 0; r < weight.rows(); ++r) {
      for (std::int64_t c = 0; c < weight.cols(); ++c) {
        if (weight(r, c) != 0.0F) continue;
        const auto zero = static_cast<std::size_t>(r * kept.scales.cols() + kept.group_of(c));
        ASSERT_EQ(kept.codes[static_cast<std::size_t>(r * weight.cols() + c)], kept.zeros[zero]);
      }
    }
    const Matrix loose = compress("gptq", given, weight, statistics).dense();
    EXPECT_FALSE((weight.array() != 0.0F || loose.array() == 0.0F).all());
    const Matrix cut = (weight.array() == 0.0F).select(0.0F, loose);
    EXPECT_LT(relative_output_error(weight, dense, statistics.moments()),
              0.8 * relative_output_error(weight, cut, statistics.moments()));
  }
}

TEST(Gptq, KeepingZerosOfADenseWeightChangesNothing) {
  const Matrix weight = random_matrix(50, 192, 13);
  const InputStatistics statistics = statistics_of(correlated_inputs(500, 192, 14));
  const Given given{{"group_size", "32"}};
  const auto kept = std::get<QuantizedMatrix>(
      make("gptq", given)->compress({"layer", weight, &statistics, true}));
  EXPECT_EQ(kept.codes, compress("gptq", given, weight, statistics).codes);
}

TEST(Gptq, SaysHowColumnsAreGrouped) {
  const Matrix weight = random_matrix(8, 64, 13);
  const InputStatistics statistics = statistics_of(correlated_inputs(300, 64, 14));
  const QuantizedMatrix plain = compress("gptq", {{"group_size", "16"}}, weight, statistics);
  EXPECT_EQ(plain.scheme.actorder, ActivationOrdering::none);
  EXPECT_TRUE(plain.g_idx.empty());
  const QuantizedMatrix fixed =
      compress("gptq", {{"group_size", "16"}, {"desc_act", "true"}, {"static_groups", "true"}},
               weight, statistics);
  EXPECT_EQ(fixed.scheme.actorder, ActivationOrdering::weight);
  EXPECT_TRUE(fixed.g_idx.empty());
  const QuantizedMatrix ordered =
      compress("gptq", {{"group_size", "16"}, {"desc_act", "true"}}, weight, statistics);
  EXPECT_EQ(ordered.scheme.actorder, ActivationOrdering::group);
  ASSERT_EQ(ordered.g_idx.size(), 64U);
  // The group of the most active input is 0, and every group has its 16 columns.
  Eigen::Index most_active = 0;
  statistics.moments().matrix().diagonal().maxCoeff(&most_active);
  EXPECT_EQ(ordered.g_idx[static_cast<std::size_t>(most_active)], 0);
  for (int group = 0; group < 4; ++group) {
    EXPECT_EQ(std::ranges::count(ordered.g_idx, group), 16);
  }
}

TEST(Gptq, ErrorsNameTheLinear) {
  const InputStatistics statistics = statistics_of(correlated_inputs(300, 64, 15));
  const auto method = make("gptq", {{"group_size", "32"}});
  const auto message = [&](LinearProblem problem) -> std::string {
    try {
      method->compress(std::move(problem));
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  const Matrix weight = random_matrix(4, 64, 16);
  EXPECT_THAT(message({"q_proj", weight, nullptr}), ::testing::HasSubstr("q_proj"));
  const InputStatistics unseen(64, {.second_moments = true});
  EXPECT_THAT(message({"q_proj", weight, &unseen}),
              ::testing::HasSubstr("q_proj: no calibration input"));
  EXPECT_THAT(message({"q_proj", random_matrix(4, 32, 1), &statistics}),
              ::testing::HasSubstr("q_proj: second moments of 64 inputs"));
  Matrix broken = weight;
  broken(2, 3) = std::nanf("");
  EXPECT_THAT(message({"q_proj", broken, &statistics}), ::testing::HasSubstr("q_proj: row 2"));
  const InputStatistics odd = statistics_of(correlated_inputs(300, 172, 15));
  EXPECT_THAT(message({"q_proj", random_matrix(4, 172, 1), &odd}),
              ::testing::AllOf(::testing::HasSubstr("q_proj"), ::testing::HasSubstr("172"),
                               ::testing::HasSubstr("use 4 or 43")));
}

}  // namespace
}  // namespace terse::testing
