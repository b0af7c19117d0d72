// AWQ against a straightforward search on the inputs themselves, in double.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <string>

#include "methods/random_problems.h"
#include "methods/tiny_block.h"
#include "terse/core/error.h"
#include "terse/core/threads.h"
#include "terse/methods/method.h"
#include "terse/methods/output_error.h"
#include "terse/methods/quantize/awq_scale.h"

namespace terse::testing {
namespace {

using Given = std::map<std::string, std::string>;
using Doubles = Eigen::MatrixXd;

MethodOptions options_of(const Given& given) {
  return {MethodRegistry::instance().find("awq"), given};
}

// Asymmetric rounding to nearest of values that share a grid.
Eigen::RowVectorXd rounded(const Eigen::RowVectorXd& values, int bits) {
  const auto top = static_cast<float>((1 << bits) - 1);
  const float low = std::min(0.0F, static_cast<float>(values.minCoeff()));
  const float scale = (std::max(0.0F, static_cast<float>(values.maxCoeff())) - low) / top;
  const float zero = std::nearbyint(-low / scale);
  return values.unaryExpr([&](double value) {
    return scale * (std::clamp<double>(std::nearbyint(value / scale) + zero, 0, top) - zero);
  });
}

Doubles rounded_groups(const Doubles& weight, int bits, std::int64_t group) {
  Doubles result = weight;
  for (std::int64_t r = 0; r < weight.rows(); ++r) {
    for (std::int64_t c = 0; c < weight.cols(); c += group) {
      result.row(r).segment(c, group) = rounded(weight.row(r).segment(c, group), bits);
    }
  }
  return result;
}

struct Search {
  std::vector<double> errors;  // by ratio
  std::vector<Eigen::RowVectorXd> scales;
  std::size_t best() const {
    return static_cast<std::size_t>(std::ranges::min_element(errors) - errors.begin());
  }
};

// Mean over all rows of |w| / the largest of its group.
Eigen::RowVectorXd mean_shares(const std::vector<Doubles>& weights, std::int64_t group) {
  Eigen::RowVectorXd sums = Eigen::RowVectorXd::Zero(weights.front().cols());
  double rows = 0;
  for (const Doubles& weight : weights) {
    for (std::int64_t r = 0; r < weight.rows(); ++r, ++rows) {
      for (std::int64_t c = 0; c < weight.cols(); ++c) {
        const double largest =
            weight.row(r).segment(c / group * group, group).cwiseAbs().maxCoeff();
        sums[c] += std::abs(weight(r, c)) / largest;
      }
    }
  }
  return sums / rows;
}

// Every ratio by the letter: scale, round, scale back, multiply inputs.
Search brute_force(const Doubles& inputs, const std::vector<Doubles>& weights, int bits,
                   std::int64_t group, int n_grid, bool duo = false) {
  const Eigen::RowVectorXd sizes =
      (inputs.array().square().colwise().sum() / static_cast<double>(inputs.rows())).sqrt();
  Search search;
  for (int step = 0; step < n_grid; ++step) {
    const double ratio = static_cast<double>(step) / n_grid;
    Eigen::RowVectorXd scales = sizes.array().pow(ratio);
    if (duo) scales.array() /= mean_shares(weights, group).array().pow(1 - ratio) + 1e-4;
    scales /= std::sqrt(scales.maxCoeff() * scales.minCoeff());
    double error = 0;
    for (const Doubles& weight : weights) {
      const Doubles scaled = weight.array().rowwise() * scales.array();
      const Doubles back = rounded_groups(scaled, bits, group).array().rowwise() / scales.array();
      error += (inputs * (back - weight).transpose()).squaredNorm();
    }
    search.errors.push_back(error);
    search.scales.push_back(scales);
  }
  return search;
}

// Inputs of which a few channels are much larger than the others.
Matrix uneven_inputs(std::int64_t tokens, std::int64_t columns, std::uint64_t seed) {
  Matrix inputs = correlated_inputs(tokens, columns, seed);
  for (std::int64_t c = 3; c < columns; c += 13) inputs.col(c) *= 12.0F;
  return inputs;
}

double reported_error(const BlockReport& report) {
  const std::string word = "error ";
  return std::stod(report.outcome.substr(report.outcome.find(word) + word.size()));
}

TEST(AwqScales, AreThoseOfTheSmallestOutputError) {
  for (const std::uint64_t seed : {1, 2, 3}) {
    TinyBlock tiny(seed);
    const Matrix inputs = uneven_inputs(200, tiny.hidden(), seed + 10);
    tiny.set_inputs(Stage::mlp_input, inputs);
    tiny.set_inputs(Stage::mlp_output, uneven_inputs(200, tiny.intermediate(), seed + 20));
    const std::vector<Doubles> first{tiny.weight(LinearRole::gate_proj).cast<double>(),
                                     tiny.weight(LinearRole::up_proj).cast<double>()};
    const std::vector<Doubles> second{tiny.weight(LinearRole::down_proj).cast<double>()};
    const Search gate_up = brute_force(inputs.cast<double>(), first, 3, 16, 20);
    const Search down =
        brute_force(tiny.input(Stage::mlp_output).cast<double>(), second, 3, 16, 20);
    ASSERT_GT(gate_up.best(), 0);  // else the inputs are not uneven enough to tell anything
    const Matrix gate = tiny.weight(LinearRole::gate_proj);
    const Vector norm = tiny.block().norms.at(NormRole::mlp).weight;

    const auto reports = tiny.transform("awq", {{"bits", "3"}, {"group_size", "16"}});
    const Eigen::RowVectorXd expected = gate_up.scales[gate_up.best()];
    const Vector found = norm.cwiseQuotient(tiny.block().norms.at(NormRole::mlp).weight);
    EXPECT_TRUE(found.transpose().cast<double>().isApprox(expected, 1e-4));
    EXPECT_TRUE(tiny.weight(LinearRole::gate_proj).isApprox(gate * found.asDiagonal(), 1e-5F));
    EXPECT_THAT(reports[2].outcome, ::testing::HasSubstr(fmt::format(
                                        "ratio {:.4g}", static_cast<double>(gate_up.best()) / 20)));
    EXPECT_NEAR(reported_error(reports[2]), gate_up.errors[gate_up.best()] / gate_up.errors[0],
                1e-3);
    EXPECT_TRUE(
        tiny.weight(LinearRole::down_proj)
            .cast<double>()
            .isApprox((second[0].array().rowwise() * down.scales[down.best()].array()).matrix(),
                      1e-4));
  }
}

TEST(AwqScales, MayFollowTheWeightsToo) {
  TinyBlock tiny(4);
  // Columns of different sizes, or the weights would have no say.
  Matrix down = tiny.weight(LinearRole::down_proj);
  for (std::int64_t c = 0; c < down.cols(); c += 5) down.col(c) *= 3.0F;
  tiny.set_weight(LinearRole::down_proj, down);
  const Matrix inputs = uneven_inputs(200, tiny.intermediate(), 25);
  tiny.set_inputs(Stage::mlp_output, inputs);
  const Search search = brute_force(inputs.cast<double>(), {down.cast<double>()}, 3, 16, 20, true);
  const auto reports =
      tiny.transform("awq", {{"bits", "3"}, {"group_size", "16"}, {"duo_scaling", "true"}});
  const Vector scales = search.scales[search.best()].transpose().cast<float>();
  EXPECT_TRUE(tiny.weight(LinearRole::down_proj).isApprox(down * scales.asDiagonal(), 1e-4F))
      << reports[3].outcome << " where " << search.best() << " steps were expected";
}

TEST(AwqScales, LowerTheErrorOfTheRoundedBlock) {
  TinyBlock tiny(5);
  for (const Stage stage : kStages) {
    tiny.set_inputs(stage, uneven_inputs(200, tiny.input_width(stage), 30));
  }
  const Matrix before = tiny.weight(LinearRole::o_proj);
  const double rtn =
      relative_output_error(before, rounded_groups(before.cast<double>(), 3, 16).cast<float>(),
                            tiny.statistics(Stage::attention_output).moments());
  tiny.transform("awq", {{"bits", "3"}, {"group_size", "16"}});
  const Matrix scaled = tiny.weight(LinearRole::o_proj);
  const Matrix rounded_scaled = rounded_groups(scaled.cast<double>(), 3, 16).cast<float>();
  const Matrix back = before.cwiseProduct(rounded_scaled.cwiseQuotient(scaled));
  EXPECT_LT(relative_output_error(before, back, tiny.statistics(Stage::attention_output).moments()),
            rtn);
}

TEST(AwqScales, OfInputsThatAreAlwaysZeroAreOne) {
  TinyBlock tiny(6);
  Matrix inputs = uneven_inputs(200, tiny.hidden(), 40);
  inputs.col(7).setZero();
  tiny.set_inputs(Stage::mlp_input, inputs);
  const Vector norm = tiny.block().norms.at(NormRole::mlp).weight;
  tiny.transform("awq", {{"bits", "3"}, {"group_size", "16"}});
  const Vector now = tiny.block().norms.at(NormRole::mlp).weight;
  EXPECT_EQ(now[7], norm[7]);
  EXPECT_NE(now, norm);
  EXPECT_TRUE(now.allFinite());
}

TEST(AwqScales, AreKeptWhereNothingWasSeenOrNothingHelps) {
  TinyBlock unseen(7);
  const Vector norm = unseen.block().norms.at(NormRole::mlp).weight;
  for (const BlockReport& report : unseen.transform("awq", {{"group_size", "16"}})) {
    EXPECT_EQ(report.outcome, "kept: no scale lowers the error of rounding");
  }
  EXPECT_EQ(unseen.block().norms.at(NormRole::mlp).weight, norm);

  TinyBlock even(8);  // one ratio is tried, which is 0
  even.set_inputs(Stage::mlp_input, uneven_inputs(200, even.hidden(), 50));
  for (const BlockReport& report : even.transform("awq", {{"n_grid", "1"}, {"group_size", "16"}})) {
    EXPECT_EQ(report.outcome, "kept: no scale lowers the error of rounding");
  }
}

TEST(AwqScales, FitTheGridOfAWholeTensor) {
  TinyBlock tiny(9);
  const Matrix inputs = uneven_inputs(200, tiny.intermediate(), 60);
  tiny.set_inputs(Stage::mlp_output, inputs);
  const Doubles down = tiny.weight(LinearRole::down_proj).cast<double>();
  // One grid for all: a matrix of one row, rounded as one group.
  const Eigen::RowVectorXd sizes =
      (inputs.cast<double>().array().square().colwise().sum() / 200.0).sqrt();
  std::vector<double> errors;
  for (int step = 0; step < 20; ++step) {
    Eigen::RowVectorXd scales = sizes.array().pow(step / 20.0);
    scales /= std::sqrt(scales.maxCoeff() * scales.minCoeff());
    const Doubles scaled = down.array().rowwise() * scales.array();
    const Eigen::RowVectorXd flat =
        rounded(Eigen::Map<const Eigen::RowVectorXd>(scaled.data(), scaled.size()), 4);
    const Doubles back =
        Eigen::Map<const Doubles>(flat.data(), down.rows(), down.cols()).array().rowwise() /
        scales.array();
    errors.push_back((inputs.cast<double>() * (back - down).transpose()).squaredNorm());
  }
  const auto best = std::ranges::min_element(errors) - errors.begin();
  ASSERT_GT(best, 0);
  const auto reports =
      tiny.transform("awq", {{"bits", "4"}, {"strategy", "tensor"}, {"clip_search", "false"}});
  EXPECT_THAT(reports[3].outcome,
              ::testing::HasSubstr(fmt::format("ratio {:.4g}", static_cast<double>(best) / 20)));
}

// Of a weight with too many rows some are looked at, and count for the others.
TEST(AwqScales, LookAtRowsThatAreSpreadEvenly) {
  const Matrix few = random_matrix(kAwqSearchRows, 32, 12);
  Matrix many(3 * few.rows(), few.cols());
  for (std::int64_t r = 0; r < many.rows(); ++r) many.row(r) = few.row(r / 3);
  const Matrix inputs = uneven_inputs(100, 32, 13);
  const InputStatistics statistics = statistics_of(inputs);
  std::vector<std::int64_t> channels(32);
  std::iota(channels.begin(), channels.end(), 0);
  AwqSearch search;
  search.scheme = {.bits = 3, .group_size = 16};
  search.grid.bits = 3;
  const AwqScales of_few = search_awq_scales(search, {few}, statistics, channels, 32);
  const AwqScales of_many = search_awq_scales(search, {many}, statistics, channels, 32);
  ASSERT_GT(of_few.scales.size(), 0);
  EXPECT_EQ(of_many.scales, of_few.scales);
  EXPECT_NEAR(of_many.error / of_few.error, 3.0, 1e-9);
  // Beside another weight each counts by its own rows.
  const Matrix other = random_matrix(40, 32, 14);
  const AwqScales both = search_awq_scales(search, {many, other}, statistics, channels, 32);
  const AwqScales alone = search_awq_scales(search, {other}, statistics, channels, 32);
  EXPECT_NEAR(both.unscaled / (of_many.unscaled + alone.unscaled), 1.0, 1e-9);
}

TEST(AwqScales, GiveTheSameBytesOnAnyNumberOfThreads) {
  const int threads = thread_count();
  std::map<LinearKey, Matrix> first;
  for (const int count : {1, 2, 3, 5}) {
    set_thread_count(count);
    TinyBlock tiny(11);
    for (const Stage stage : kStages) {
      tiny.set_inputs(stage, uneven_inputs(100, tiny.input_width(stage), 70));
    }
    tiny.transform("awq", {{"bits", "3"}, {"group_size", "16"}});
    for (const auto& [key, linear] : tiny.block().linears) {
      if (count == 1) first[key] = linear.weight->dense();
      EXPECT_EQ(linear.weight->dense(), first[key]);
    }
  }
  set_thread_count(threads);
}

QuantizedMatrix awq(const Given& given, const Matrix& weight, const Matrix& inputs,
                    std::optional<LinearRole> role = {}) {
  const InputStatistics statistics = statistics_of(inputs);
  const auto method = make_linear_method("awq", options_of(given), {});
  return std::get<QuantizedMatrix>(method->compress({"layer", weight, &statistics, false, role}));
}

double lost(const Doubles& inputs, const Eigen::RowVectorXd& difference) {
  return (inputs * difference.transpose()).squaredNorm();
}

// The smallest error of any candidate, group by group, from the inputs themselves.
Doubles least_errors(const Doubles& inputs, const Doubles& weight, int bits, std::int64_t group) {
  Doubles least(weight.rows(), weight.cols() / group);
  for (std::int64_t r = 0; r < weight.rows(); ++r) {
    for (std::int64_t g = 0; g < least.cols(); ++g) {
      const Eigen::RowVectorXd values = weight.row(r).segment(g * group, group);
      const Doubles seen = inputs.middleCols(g * group, group);
      least(r, g) = std::numeric_limits<double>::infinity();
      for (int step = 0; step < 10; ++step) {
        const double bound = (1 - step / 20.0) * values.cwiseAbs().maxCoeff();
        const Eigen::RowVectorXd clipped = values.cwiseMin(bound).cwiseMax(-bound);
        least(r, g) = std::min(least(r, g), lost(seen, rounded(clipped, bits) - values));
      }
    }
  }
  return least;
}

// Errors of the outputs of every group.
Doubles group_errors(const Matrix& inputs, const Matrix& weight, const Matrix& found,
                     std::int64_t group) {
  const Doubles difference = found.cast<double>() - weight.cast<double>();
  Doubles errors(weight.rows(), weight.cols() / group);
  for (std::int64_t r = 0; r < errors.rows(); ++r) {
    for (std::int64_t g = 0; g < errors.cols(); ++g) {
      errors(r, g) = lost(inputs.middleCols(g * group, group).cast<double>(),
                          difference.row(r).segment(g * group, group));
    }
  }
  return errors;
}

TEST(AwqClip, FindsTheLeastErrorOfEveryGroup) {
  // Negative weights are small and never clipped: a range clipped at both ends puts its zero point
  // between two integers, and the last bit decides.
  Matrix weight = random_matrix(150, 64, 1, 0.02);
  weight = weight.cwiseMax(0.1F * weight);
  const Matrix inputs = correlated_inputs(120, 64, 2);
  for (const std::int64_t group : {16, 64}) {
    const Given given = group == 64 ? Given{{"strategy", "channel"}, {"bits", "3"}}
                                    : Given{{"group_size", "16"}, {"bits", "3"}};
    const Doubles found = group_errors(inputs, weight, awq(given, weight, inputs).dense(), group);
    const Doubles least = least_errors(inputs.cast<double>(), weight.cast<double>(), 3, group);
    EXPECT_LT((found.array() / least.array() - 1.0).abs().maxCoeff(), 1e-3);
  }
}

TEST(AwqClip, LosesNoMoreThanRounding) {
  const Matrix weight = random_matrix(150, 64, 3, 0.02);
  const Matrix inputs = correlated_inputs(120, 64, 4);
  for (const std::string symmetric : {"false", "true"}) {
    Given given{{"group_size", "16"}, {"bits", "3"}, {"symmetric", symmetric}};
    const Doubles clipped = group_errors(inputs, weight, awq(given, weight, inputs).dense(), 16);
    given["clip_search"] = "false";
    const Doubles plain = group_errors(inputs, weight, awq(given, weight, inputs).dense(), 16);
    EXPECT_LT((clipped.array() / plain.array()).maxCoeff(), 1.001);
    EXPECT_LT(clipped.sum(), 0.95 * plain.sum());
  }
}

TEST(AwqClip, IsForLinearsWhoseOwnOutputCounts) {
  const Matrix weight = random_matrix(40, 64, 3, 0.02);
  const Matrix inputs = correlated_inputs(120, 64, 4);
  const Given given{{"group_size", "16"}, {"bits", "3"}};
  const Matrix clipped = awq(given, weight, inputs).dense();
  Given off = given;
  off["clip_search"] = "false";
  const Matrix plain = awq(off, weight, inputs).dense();
  EXPECT_NE(clipped, plain);
  EXPECT_EQ(awq(given, weight, inputs, LinearRole::q_proj).dense(), plain);
  EXPECT_EQ(awq(given, weight, inputs, LinearRole::k_proj).dense(), plain);
  EXPECT_EQ(awq(given, weight, inputs, LinearRole::v_proj).dense(), clipped);
  EXPECT_EQ(awq(given, weight, inputs, LinearRole::down_proj).dense(), clipped);
  const MethodOptions rtn(MethodRegistry::instance().find("rtn"), given);
  EXPECT_EQ(dense_weight(make_linear_method("rtn", rtn, {})->compress({"layer", weight})), plain);
}

TEST(AwqClip, KeepsZerosAndGivesTheSameBytesOnAnyNumberOfThreads) {
  Matrix weight = random_matrix(300, 64, 5, 0.02);
  for (std::int64_t i = 0; i < weight.size(); i += 2) weight.data()[i] = 0.0F;
  weight.row(3).setZero();
  const Matrix inputs = correlated_inputs(120, 64, 6);
  const int threads = thread_count();
  for (const std::string symmetric : {"false", "true"}) {
    const Given given{{"group_size", "16"}, {"bits", "3"}, {"symmetric", symmetric}};
    set_thread_count(1);
    const QuantizedMatrix first = awq(given, weight, inputs);
    const Matrix dense = first.dense();
    for (std::int64_t i = 0; i < weight.size(); ++i) {
      if (weight.data()[i] == 0.0F) {
        ASSERT_EQ(dense.data()[i], 0.0F);
      }
    }
    for (const int count : {2, 3, 5}) {
      set_thread_count(count);
      const QuantizedMatrix again = awq(given, weight, inputs);
      EXPECT_EQ(again.codes, first.codes);
      EXPECT_EQ(again.scales, first.scales);
      EXPECT_EQ(again.zeros, first.zeros);
    }
  }
  set_thread_count(threads);
}

std::string message_of(const Given& given, const Matrix& weight, const Matrix& inputs) {
  try {
    awq(given, weight, inputs);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(AwqClip, ErrorsSayWhatToDo) {
  const Matrix weight = random_matrix(8, 64, 7);
  const Matrix inputs = correlated_inputs(20, 64, 8);
  EXPECT_THAT(message_of({{"strategy", "tensor"}}, weight, inputs),
              ::testing::HasSubstr("clip_search: needs strategy group or channel"));
  EXPECT_THAT(message_of({{"clip", "mse"}}, weight, inputs), ::testing::HasSubstr("clip_search"));
  EXPECT_THAT(message_of({{"group_size", "24"}}, weight, inputs), ::testing::HasSubstr("layer"));
  EXPECT_THAT(message_of({{"group_size", "16"}}, weight, correlated_inputs(20, 32, 9)),
              ::testing::HasSubstr("layer: second moments of 32 inputs"));
  Matrix broken = weight;
  broken(3, 5) = NAN;
  EXPECT_THAT(message_of({{"group_size", "16"}}, broken, inputs),
              ::testing::HasSubstr("layer: row 3"));
  const auto method = make_linear_method("awq", options_of({{"group_size", "16"}}), {});
  EXPECT_THROW(method->compress({"layer", weight}), Error);
}

}  // namespace
}  // namespace terse::testing
