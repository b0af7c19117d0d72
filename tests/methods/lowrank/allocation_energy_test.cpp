// Ranks of all linears of a step from one ratio.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <Eigen/SVD>
#include <cmath>

#include "methods/random_problems.h"
#include "support/expect_error.h"
#include "terse/methods/allocation.h"

namespace terse {
namespace {

using testing::correlated_inputs;
using testing::random_matrix;
using testing::statistics_of;

using Given = std::map<std::string, std::string>;

MethodOptions options_of(const std::string& method, Given given) {
  given.insert({{"allocation", "energy"}, {"multiple", "2"}});
  return {MethodRegistry::instance().find(method), given};
}

// Three weights of one shape, whose columns and inputs are the more alike the later they come, and
// one of another shape.
class EnergyAllocations : public ::testing::Test {
 protected:
  EnergyAllocations() {
    for (int i = 0; i < 3; ++i) {
      Matrix weight = random_matrix(24, 30, static_cast<std::uint64_t>(i) + 1);
      for (int c = 0; c < 30; ++c) weight.col(c) *= std::pow(1.0F - 0.1F * i, c);
      weights_.push_back(weight);
    }
    weights_.push_back(random_matrix(40, 12, 7));
    for (const Matrix& weight : weights_) {
      inputs_.push_back(statistics_of(correlated_inputs(200, weight.cols(), 9)));
    }
  }

  std::map<std::string, double> shares(const std::string& method, const std::string& ratio) const {
    const auto allocation = make_allocation(MethodRegistry::instance().find(method),
                                            options_of(method, {{"ratio", ratio}}));
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      LinearProblem problem{std::to_string(i), weights_[i], &inputs_[i]};
      problem.importance = weights_[i].cwiseAbs();
      allocation->visit(static_cast<std::int64_t>(i), problem);
    }
    return allocation->shares();
  }

  double kept(const std::map<std::string, double>& shares) const {
    double kept = 0;
    double all = 0;
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      const auto size = static_cast<double>(weights_[i].size());
      kept += shares.at(std::to_string(i)) * size;
      all += size;
    }
    return kept / all;
  }

  std::vector<Matrix> weights_;
  std::vector<InputStatistics> inputs_;
};

TEST_F(EnergyAllocations, SpendTheRatioAndNoMore) {
  for (const char* method : {"svd", "asvd", "fwsvd", "svd_llm"}) {
    for (const double ratio : {0.3, 0.6, 0.8, 0.95}) {
      const auto found = shares(method, std::to_string(ratio));
      EXPECT_LE(kept(found), ratio + 1e-9) << method;
      EXPECT_GT(kept(found), ratio - 0.07) << method;
    }
  }
  for (const auto& [name, share] : shares("svd", "1")) EXPECT_EQ(share, 1.0) << name;
}

// Each share gives the method the rank that it was made of, or leaves the weight as it is.
TEST_F(EnergyAllocations, GiveTheMethodRanks) {
  for (const char* ratio : {"0.31", "0.6", "0.93"}) {
    for (const auto& [name, share] : shares("svd_llm", ratio)) {
      const Matrix& weight = weights_[static_cast<std::size_t>(std::stoi(name))];
      const auto method = make_linear_method(
          "svd_llm", options_of("svd_llm", {{"ratio", fmt::format("{}", share)}}), {});
      const auto parts = method->parts(weight.rows(), weight.cols());
      if (share == 1) {
        EXPECT_EQ(parts, (std::vector<Shape>{{weight.rows(), weight.cols()}}));
        continue;
      }
      const double rank = share * static_cast<double>(weight.size()) /
                          static_cast<double>(weight.rows() + weight.cols());
      EXPECT_NEAR(static_cast<double>(parts.front()[0]), rank, 1e-9);
      EXPECT_EQ(parts.front()[0] % 2, 0);
    }
  }
}

// The mean share that is lost of a weight, measured on the results.
TEST_F(EnergyAllocations, LoseLessThanOneRatioForAll) {
  const auto lost = [&](const std::map<std::string, double>& shares) {
    double sum = 0;
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      const double share = shares.at(std::to_string(i));
      const auto method =
          make_linear_method("svd", options_of("svd", {{"ratio", fmt::format("{}", share)}}), {});
      const Matrix result = dense_weight(method->compress({"layer", weights_[i]}));
      sum += static_cast<double>(weights_[i].size()) * (weights_[i] - result).squaredNorm() /
             weights_[i].squaredNorm();
    }
    return sum;
  };
  for (const char* ratio : {"0.4", "0.6", "0.8"}) {
    const auto found = shares("svd", ratio);
    std::map<std::string, double> alike;
    for (const auto& entry : found) alike[entry.first] = std::stod(ratio);
    EXPECT_LT(lost(found), lost(alike)) << ratio;
  }
}

TEST_F(EnergyAllocations, RefuseWhatContradictsThem) {
  test::expect_error(ErrorKind::usage, "option rank: allocation energy gives each linear its own",
                     [&] {
                       make_linear_method("svd", options_of("svd", {{"rank", "4"}}), {});
                     });
  EXPECT_EQ(make_allocation(MethodRegistry::instance().find("svd"),
                            {MethodRegistry::instance().find("svd"), {}}),
            nullptr);
}

}  // namespace
}  // namespace terse
