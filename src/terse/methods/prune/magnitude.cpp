// Magnitude pruning: the smallest weights become zero, whatever their inputs.
#include <memory>
#include <utility>

#include "terse/core/error.h"
#include "terse/methods/linear_checks.h"
#include "terse/methods/method.h"
#include "terse/methods/prune/pruning_options.h"
#include "terse/methods/prune/score_pruning.h"

namespace terse {
namespace {

class Magnitude : public LinearMethod {
 public:
  explicit Magnitude(const MethodOptions& options)
      : pruning_(parse_pruning(options)), granularity_(parse_granularity(options, pruning_)) {
    if (granularity_ == Granularity::row && options.text("allocation") == "global") {
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
    prune_smallest(problem.weight, problem.weight, pruning_, granularity_);
    return std::move(problem.weight);
  }

 private:
  PruningOptions pruning_;
  Granularity granularity_;
};

const LinearMethodRegistration kRegistration(
    {"magnitude", "prune", "Set the smallest weights to zero",
     "The baseline of Frantar and Alistarh, SparseGPT, ICML 2023 (arXiv:2301.00774); Han et al., "
     "Learning both weights and connections, NeurIPS 2015 (arXiv:1506.02626)",
     MethodScope::linear, MethodNeed::nothing,
     with_pruning_options({"global"}, {granularity_option()})},
    [](const MethodOptions& options, const MethodContext& /*context*/) {
      return std::make_unique<Magnitude>(options);
    });

}  // namespace
}  // namespace terse
