#include "terse/methods/lowrank/low_rank_method.h"

#include <algorithm>
#include <iterator>

#include "terse/core/error.h"
#include "terse/methods/linear_checks.h"
#include "terse/methods/lowrank/factored_result.h"

namespace terse {

std::vector<MethodOption> with_rank_options(std::vector<MethodOption> more) {
  std::vector<MethodOption> all = {
      {"rank", std::int64_t{0}, "Rank of the factors; 0: as the ratio asks for", {}, 0, 1e6},
      {"ratio", 0.8, "Share of the linear's parameters that the factors have", {}, 0, 1},
      {"multiple",
       std::int64_t{8},
       "A rank that the ratio asks for is rounded down to a multiple of it, where it is larger",
       {},
       1,
       4096}};
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
}

std::int64_t LowRankMethod::rank_of(std::int64_t rows, std::int64_t columns) const {
  if (rank_ > 0) return rank_;
  const double parameters = static_cast<double>(rows) * static_cast<double>(columns);
  const auto rank =
      static_cast<std::int64_t>(ratio_ * parameters / static_cast<double>(rows + columns));
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

std::vector<Shape> LowRankMethod::parts(std::int64_t rows, std::int64_t columns) const {
  const std::int64_t rank = rank_of(rows, columns);
  return {{rank, columns}, {rows, rank}};
}

std::uint64_t LowRankMethod::working_bytes(std::int64_t rows, std::int64_t columns) const {
  return truncated_svd_bytes(rows, columns);
}

LinearResult LowRankMethod::compress(LinearProblem problem) const {
  check_values(problem);
  const Matrix& weight = problem.weight;
  check(problem.name, weight.rows(), weight.cols());
  return with_context(problem.name, [&]() -> LinearResult {
    TruncatedSvd svd =
        truncated_svd(weight, rank_of(weight.rows(), weight.cols()), weights(problem));
    return std::make_shared<FactoredResult>(std::move(svd.right), std::move(svd.left));
  });
}

}  // namespace terse
