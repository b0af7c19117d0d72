#include "terse/methods/allocation.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "methods/prune/prune_support.h"
#include "terse/core/threads.h"

namespace terse::testing {
namespace {

std::unique_ptr<Allocation> make(const std::string& method, const Given& given) {
  return make_allocation(MethodRegistry::instance().find(method), options_of(method, given));
}

struct TestLinear {
  std::int64_t block;
  std::string name;
  Matrix weight;
  Matrix inputs;
};

// Three blocks of two linears of different shapes; later blocks have more outliers.
std::vector<TestLinear> test_linears() {
  std::vector<TestLinear> linears;
  for (int block = 0; block < 3; ++block) {
    for (int i = 0; i < 2; ++i) {
      const std::int64_t columns = i == 0 ? 64 : 96;
      const auto seed = static_cast<std::uint64_t>(10 * block + i);
      Matrix weight = random_matrix(40 + 20 * block, columns, seed, 0.1 * (block + 1));
      weight.leftCols(3 * block) *= 8.0F;
      linears.push_back({block, std::to_string(block) + "." + std::to_string(i), weight,
                         correlated_inputs(100, columns, seed + 5)});
    }
  }
  return linears;
}

std::map<std::string, double> allocate(Allocation& allocation,
                                       const std::vector<TestLinear>& linears) {
  for (const TestLinear& linear : linears) {
    const InputStatistics inputs = statistics_of(linear.inputs);
    allocation.visit(linear.block, {linear.name, linear.weight, &inputs});
  }
  return allocation.shares();
}

double weighted_mean(const std::map<std::string, double>& sparsities,
                     const std::vector<TestLinear>& linears) {
  double sum = 0;
  double weights = 0;
  for (const TestLinear& linear : linears) {
    sum += sparsities.at(linear.name) * static_cast<double>(linear.weight.size());
    weights += static_cast<double>(linear.weight.size());
  }
  return sum / weights;
}

// The share of |W| ||X|| of a block above `multiple` times the block's mean.
double outlier_share(const std::vector<TestLinear>& linears, std::int64_t block, double multiple) {
  std::vector<double> scores;
  for (const TestLinear& linear : linears) {
    if (linear.block != block) continue;
    const Eigen::VectorXd norms = linear.inputs.cast<double>().colwise().norm();
    for (std::int64_t r = 0; r < linear.weight.rows(); ++r) {
      for (std::int64_t c = 0; c < linear.weight.cols(); ++c) {
        scores.push_back(std::abs(static_cast<double>(linear.weight(r, c))) * norms[c]);
      }
    }
  }
  double sum = 0;
  for (const double score : scores) sum += score;
  const double threshold = multiple * sum / static_cast<double>(scores.size());
  const auto above = std::ranges::count_if(scores, [&](double s) { return s > threshold; });
  return static_cast<double>(above) / static_cast<double>(scores.size());
}

TEST(Allocation, UniformIsNone) {
  EXPECT_EQ(make("wanda", {}), nullptr);
  EXPECT_EQ(make("gptq", {}), nullptr);
  EXPECT_EQ(make("magnitude", {{"allocation", "uniform"}}), nullptr);
}

TEST(Owl, SparsitiesFallWithTheShareOfOutliers) {
  const std::vector<TestLinear> linears = test_linears();
  const double target = 0.7;
  const double lambda = 0.1;
  const auto allocation = make(
      "wanda", {{"allocation", "owl"}, {"sparsity", "0.7"}, {"owl_lambda", "0.1"}, {"owl_m", "4"}});
  ASSERT_NE(allocation, nullptr);
  EXPECT_EQ(allocation->need(), MethodNeed::input_norms);
  const auto found = allocate(*allocation, linears);

  std::vector<double> shares;
  std::vector<double> weights(3, 0.0);
  for (int block = 0; block < 3; ++block) shares.push_back(outlier_share(linears, block, 4.0));
  for (const TestLinear& linear : linears) {
    weights[static_cast<std::size_t>(linear.block)] += static_cast<double>(linear.weight.size());
  }
  const auto [low, high] = std::ranges::minmax(shares);
  ASSERT_GT(high, low + 0.01);
  double mean = 0;
  for (std::size_t b = 0; b < 3; ++b) {
    shares[b] = 2 * lambda * (shares[b] - low) / (high - low);
    mean += weights[b] * shares[b] / (weights[0] + weights[1] + weights[2]);
  }
  for (const TestLinear& linear : linears) {
    const double expected = target - (shares[static_cast<std::size_t>(linear.block)] - mean);
    EXPECT_NEAR(found.at(linear.name), expected, 2e-3) << linear.name;
  }
  EXPECT_NEAR(weighted_mean(found, linears), target, 1e-12);
  EXPECT_NEAR(found.at("0.0") - found.at("2.0"), 2 * lambda, 1e-12);
}

TEST(Owl, StaysWithinItsLimitsAndKeepsTheMean) {
  const std::vector<TestLinear> linears = test_linears();
  for (const std::string sparsity : {"0", "0.03", "0.5", "0.98", "1"}) {
    const auto allocation = make(
        "sparsegpt",
        {{"allocation", "owl"}, {"sparsity", sparsity}, {"owl_lambda", "0.3"}, {"owl_m", "4"}});
    const auto found = allocate(*allocation, linears);
    for (const auto& [name, value] : found) {
      EXPECT_GE(value, 0.0) << name;
      EXPECT_LE(value, 1.0) << name;
    }
    EXPECT_NEAR(weighted_mean(found, linears), std::stod(sparsity), 1e-12);
  }
}

TEST(Owl, EqualBlocksGetEqualSparsities) {
  std::vector<TestLinear> linears = test_linears();
  for (TestLinear& linear : linears) {
    linear.weight = random_matrix(40, 64, 1);
    linear.inputs = correlated_inputs(100, 64, 2);
  }
  const auto allocation = make("magnitude", {{"allocation", "owl"}, {"sparsity", "0.6"}});
  for (const auto& [name, value] : allocate(*allocation, linears)) {
    EXPECT_NEAR(value, 0.6, 1e-12) << name;
  }
}

TEST(Owl, InputsThatAreAllZeroHaveNoOutliers) {
  std::vector<TestLinear> linears = test_linears();
  for (TestLinear& linear : linears) linear.inputs.setZero();
  const auto allocation = make("wanda", {{"allocation", "owl"}});
  for (const auto& [name, value] : allocate(*allocation, linears)) {
    EXPECT_NEAR(value, 0.5, 1e-12) << name;
  }
}

TEST(Owl, SaysWhichLinearHasNoNorms) {
  const auto allocation = make("wanda", {{"allocation", "owl"}});
  EXPECT_THAT(message_of(ErrorKind::failed,
                         [&] {
                           allocation->visit(0, {"q_proj", random_matrix(2, 2, 1)});
                         }),
              ::testing::HasSubstr("q_proj"));
}

TEST(Allocation, ThreadsDoNotChangeABit) {
  const std::vector<TestLinear> linears = test_linears();
  const int before = thread_count();
  for (const std::string kind : {"owl", "global"}) {
    set_thread_count(1);
    const auto one = allocate(*make("magnitude", {{"allocation", kind}}), linears);
    for (const int threads : {2, 3, 5}) {
      set_thread_count(threads);
      EXPECT_EQ(allocate(*make("magnitude", {{"allocation", kind}}), linears), one);
    }
  }
  set_thread_count(before);
}

Matrix rounded(Matrix matrix) {
  for (std::int64_t i = 0; i < matrix.size(); ++i) {
    matrix.data()[i] = round_to_dtype(DType::bf16, matrix.data()[i]);
  }
  return matrix;
}

TEST(GlobalMagnitude, PrunesByOneThreshold) {
  std::vector<TestLinear> linears = test_linears();
  std::vector<float> all;
  for (TestLinear& linear : linears) {
    linear.weight = rounded(linear.weight);
    for (const float w : linear.weight.reshaped()) all.push_back(std::abs(w));
  }
  std::ranges::sort(all);
  for (const std::string sparsity : {"0", "0.1", "0.5", "0.83", "1"}) {
    const auto allocation = make("magnitude", {{"allocation", "global"}, {"sparsity", sparsity}});
    EXPECT_EQ(allocation->need(), MethodNeed::nothing);
    const auto found = allocate(*allocation, linears);
    const auto count = std::llround(std::stod(sparsity) * static_cast<double>(all.size()));
    const float threshold = count > 0 ? all[static_cast<std::size_t>(count - 1)] : -1.0F;
    std::int64_t pruned = 0;
    for (const TestLinear& linear : linears) {
      const Given given{{"allocation", "global"},
                        {"sparsity", fmt::format("{}", found.at(linear.name))}};
      const Matrix result = prune("magnitude", given, linear.weight);
      pruned += zeros_of(result);
      const auto size = linear.weight.array().abs();
      EXPECT_TRUE((size >= threshold || result.array() == 0.0F).all()) << sparsity;
      EXPECT_TRUE((size <= threshold || result.array() != 0.0F).all()) << sparsity;
    }
    EXPECT_EQ(pruned, count) << sparsity;
  }
}

// Magnitudes in one bin with the threshold are not told apart; that is less than a hundredth.
TEST(GlobalMagnitude, IsCloseToOneThresholdForOtherTypes) {
  const std::vector<TestLinear> linears = test_linears();
  std::vector<float> all;
  for (const TestLinear& linear : linears) {
    for (const float w : linear.weight.reshaped()) all.push_back(std::abs(w));
  }
  std::ranges::sort(all);
  const float threshold = all[all.size() / 2 - 1];
  const auto found = allocate(*make("magnitude", {{"allocation", "global"}}), linears);
  EXPECT_NEAR(weighted_mean(found, linears), 0.5, 1e-12);
  for (const TestLinear& linear : linears) {
    const auto below = (linear.weight.array().abs() <= threshold).count();
    EXPECT_NEAR(found.at(linear.name),
                static_cast<double>(below) / static_cast<double>(linear.weight.size()), 0.01);
  }
}

}  // namespace
}  // namespace terse::testing
