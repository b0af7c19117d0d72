// Magnitude pruning: the smallest weights become zero, whatever their inputs.
#include <memory>
#include <span>
#include <utility>

#include "terse/core/error.h"
#include "terse/core/threads.h"
#include "terse/methods/linear_checks.h"
#include "terse/methods/method.h"
#include "terse/methods/prune/pruning_options.h"
#include "terse/methods/prune/smallest.h"

namespace terse {
namespace {

std::span<float> row_of(Matrix& weight, std::int64_t r) {
  return {weight.data() + r * weight.cols(), static_cast<std::size_t>(weight.cols())};
}

class Magnitude : public LinearMethod {
 public:
  explicit Magnitude(const MethodOptions& options)
      : pruning_(parse_pruning(options)), by_row_(options.text("granularity") == "row") {
    if (pruning_.pattern && options.given("granularity")) {
      throw bad_usage("option granularity: says nothing with structure {}; leave one of them out",
                      options.text("structure"));
    }
    if (by_row_ && options.text("allocation") == "global") {
      throw bad_usage(
          "option granularity: row contradicts allocation global; leave one of them out");
    }
  }

  void check(const std::string& name, std::int64_t /*rows*/, std::int64_t columns) const override {
    check_pattern(name, columns, pruning_);
  }

  LinearResult compress(LinearProblem problem) const override {
    check_values(problem);
    check_pattern(problem.name, problem.weight.cols(), pruning_);
    Matrix& weight = problem.weight;
    if (pruning_.pattern) {
      for_rows(weight, [&](std::int64_t, std::span<float> row) {
        for_smallest(row, *pruning_.pattern, [&](std::size_t c) { row[c] = 0.0F; });
      });
    } else if (by_row_) {
      const std::int64_t count = zero_count(weight.cols(), pruning_.sparsity);
      for_rows(weight, [&](std::int64_t, std::span<float> row) {
        zero_smallest(row, find_smallest(row, count), row);
      });
    } else {
      prune_whole(weight);
    }
    return std::move(weight);
  }

 private:
  template <class Body>
  static void for_rows(Matrix& weight, const Body& body) {
    parallel_for(weight.rows(), [&](std::int64_t r) { body(r, row_of(weight, r)); });
  }

  void prune_whole(Matrix& weight) const {
    std::vector<std::span<const float>> rows;
    for (std::int64_t r = 0; r < weight.rows(); ++r) rows.emplace_back(row_of(weight, r));
    const auto smallest = find_smallest(rows, zero_count(weight.size(), pruning_.sparsity));
    for_rows(weight, [&](std::int64_t r, std::span<float> row) {
      zero_smallest(row, smallest[static_cast<std::size_t>(r)], row);
    });
  }

  PruningOptions pruning_;
  bool by_row_;
};

const LinearMethodRegistration kRegistration(
    {"magnitude", "prune", "Set the smallest weights to zero",
     "The baseline of Frantar and Alistarh, SparseGPT, ICML 2023 (arXiv:2301.00774); Han et al., "
     "Learning both weights and connections, NeurIPS 2015 (arXiv:1506.02626)",
     MethodScope::linear, MethodNeed::nothing,
     with_pruning_options({"global"}, {{"granularity",
                                        std::string("linear"),
                                        "What weights are compared with each other",
                                        {"linear", "row"}}})},
    [](const MethodOptions& options, const MethodContext& /*context*/) {
      return std::make_unique<Magnitude>(options);
    });

}  // namespace
}  // namespace terse
