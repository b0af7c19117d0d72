#include "terse/methods/lowrank/low_rank_method.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "terse/core/error.h"
#include "terse/methods/linear_checks.h"
#include "terse/methods/lowrank/factored_result.h"

namespace terse {
namespace {

// A share that was made of a rank gives that rank back.
constexpr double kWholeRank = 1e-6;

}  // namespace

std::vector<MethodOption> with_rank_options(std::vector<MethodOption> more) {
  std::vector<MethodOption> all = {
      {"rank", std::int64_t{0}, "Rank of the factors; 0: as the ratio asks for", {}, 0, 1e6},
      {"ratio",
       0.8,
       "Share of the parameters of the linears that the factors have; 1: it stays as it is",
       {},
       0,
       1},
      {"multiple",
       std::int64_t{8},
       "A rank that the ratio asks for is rounded down to a multiple of it, where it is larger",
       {},
       1,
       4096},
      {"allocation",
       std::string("uniform"),
       "How linears share the ratio",
       {"uniform", "energy"},
       -1e300,
       1e300,
       true}};
  std::ranges::move(more, std::back_inserter(all));
  return all;
}

LowRankMethod::LowRankMethod(const MethodOptions& options)
    : rank_(options.integer("rank")),
      ratio_(options.number("ratio")),
      multiple_(options.integer("multiple")) {
  if (options.given("ratio") && rank_ > 0) {
    throw bad_usage("rank and ratio both say how many terms there are; leave one out");
  }
  if (rank_ > 0 && options.text("allocation") != "uniform") {
    throw bad_usage("option rank: allocation {} gives each linear its own; give a ratio instead",
                    options.text("allocation"));
  }
}

std::int64_t LowRankMethod::rank_of(std::int64_t rows, std::int64_t columns) const {
  if (rank_ > 0) return rank_;
  const double parameters = static_cast<double>(rows) * static_cast<double>(columns);
  const auto rank = static_cast<std::int64_t>(
      ratio_ * parameters / static_cast<double>(rows + columns) + kWholeRank);
  return rank > multiple_ ? rank / multiple_ * multiple_ : rank;
}

void LowRankMethod::check(const std::string& name, std::int64_t rows, std::int64_t columns) const {
  const std::int64_t rank = rank_of(rows, columns);
  const std::int64_t full = std::min(rows, columns);
  if (rank > full) {
    throw bad_usage("{}: rank {} is above the full rank {} of a weight [{}, {}]", name, rank, full,
                    rows, columns);
  }
  if (rank < 1) {
    throw bad_usage("{}: a ratio of {} leaves no rank of a weight [{}, {}]; the least is {:.4f}",
                    name, ratio_, rows, columns,
                    static_cast<double>(rows + columns) /
                        (static_cast<double>(rows) * static_cast<double>(columns)));
  }
}

std::vector<std::int64_t> LowRankMethod::ranks(std::int64_t rows, std::int64_t columns) const {
  std::vector<std::int64_t> all = {std::min(rank_of(rows, columns), multiple_)};
  const std::int64_t most = (rows * columns - 1) / (rows + columns);
  for (std::int64_t rank = multiple_; rank <= most; rank += multiple_) {
    if (rank > all.back()) all.push_back(rank);
  }
  return all;
}

std::vector<Shape> LowRankMethod::parts(std::int64_t rows, std::int64_t columns) const {
  if (stays_whole()) return {{rows, columns}};
  const std::int64_t rank = rank_of(rows, columns);
  return {{rank, columns}, {rows, rank}};
}

std::uint64_t LowRankMethod::working_bytes(std::int64_t rows, std::int64_t columns) const {
  return truncated_svd_bytes(rows, columns);
}

Eigen::VectorXd LowRankMethod::energies(const LinearProblem& problem) const {
  check_values(problem);
  return with_context(problem.name, [&]() -> Eigen::VectorXd {
    return squared_singular_values(problem.weight, weights(problem));
  });
}

LinearResult LowRankMethod::compress(LinearProblem problem) const {
  check_values(problem);
  if (stays_whole()) return std::move(problem.weight);
  const Matrix& weight = problem.weight;
  check(problem.name, weight.rows(), weight.cols());
  return with_context(problem.name, [&]() -> LinearResult {
    TruncatedSvd svd = refined(
        problem, truncated_svd(weight, rank_of(weight.rows(), weight.cols()), weights(problem)));
    return std::make_shared<FactoredResult>(std::move(svd.right), std::move(svd.left));
  });
}

}  // namespace terse
