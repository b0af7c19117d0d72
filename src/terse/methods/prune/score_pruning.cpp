#include "terse/methods/prune/score_pruning.h"

#include <span>
#include <string>
#include <vector>

#include "terse/core/error.h"
#include "terse/core/threads.h"
#include "terse/methods/prune/smallest.h"

namespace terse {
namespace {

template <class Values>
auto row_of(Values& values, std::int64_t r) {
  return std::span(values.data() + r * values.cols(), static_cast<std::size_t>(values.cols()));
}

void prune_whole(Matrix& weight, const Matrix& scores, double sparsity) {
  std::vector<std::span<const float>> rows;
  for (std::int64_t r = 0; r < scores.rows(); ++r) rows.emplace_back(row_of(scores, r));
  const auto smallest = find_smallest(rows, zero_count(scores.size(), sparsity));
  parallel_for(weight.rows(), [&](std::int64_t r) {
    zero_smallest(row_of(scores, r), smallest[static_cast<std::size_t>(r)], row_of(weight, r));
  });
}

void prune_row(std::span<float> row, std::span<const float> scores, const PruningOptions& pruning) {
  if (pruning.pattern) {
    for_smallest(scores, *pruning.pattern, [&](std::size_t c) { row[c] = 0.0F; });
  } else {
    const auto count = zero_count(static_cast<std::int64_t>(row.size()), pruning.sparsity);
    zero_smallest(scores, find_smallest(scores, count), row);
  }
}

}  // namespace

MethodOption granularity_option() {
  return {"granularity",
          std::string("linear"),
          "What weights are compared with each other",
          {"linear", "row"}};
}

Granularity parse_granularity(const MethodOptions& options, const PruningOptions& pruning) {
  if (pruning.pattern && options.given("granularity")) {
    throw bad_usage("option granularity: says nothing with structure {}; leave one of them out",
                    options.text("structure"));
  }
  return options.text("granularity") == "row" ? Granularity::row : Granularity::linear;
}

void prune_smallest(Matrix& weight, const Matrix& scores, const PruningOptions& pruning,
                    Granularity granularity) {
  if (!pruning.pattern && granularity == Granularity::linear) {
    prune_whole(weight, scores, pruning.sparsity);
    return;
  }
  parallel_for(weight.rows(),
               [&](std::int64_t r) { prune_row(row_of(weight, r), row_of(scores, r), pruning); });
}

}  // namespace terse
