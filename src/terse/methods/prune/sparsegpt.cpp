// SparseGPT: columns are pruned one after the other, each after the errors of those before it have
// been fed to it; what is left may be quantised in the same pass.
#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "terse/core/error.h"
#include "terse/methods/prune/pruning_options.h"
#include "terse/methods/prune/sparsegpt_solver.h"
#include "terse/methods/quantize/feedback_method.h"
#include "terse/methods/quantize/scheme_options.h"

namespace terse {
namespace {

// Those of a quantiser, off by default, and with one grid per row as in the published code.
std::vector<MethodOption> with_joint_options(std::vector<MethodOption> more) {
  std::vector<MethodOption> options = with_scheme_options(std::move(more));
  for (MethodOption& option : options) {
    if (option.name == "bits") {
      option.default_value = std::int64_t{0};
      option.help = "Bits of a code of the weights that are left, 2 to 8; 0 keeps real numbers";
      option.minimum = 0;
    }
    if (option.name == "strategy") option.default_value = std::string("channel");
  }
  return options;
}

class SparseGpt : public FeedbackMethod {
 public:
  SparseGpt(const MethodOptions& options, const MethodContext& context)
      : FeedbackMethod(options.number("percdamp"), false),
        pruning_(parse_pruning(options)),
        block_size_(options.integer("block_size")) {
    if (pruning_.pattern && options.given("block_size")) {
      throw bad_usage("option block_size: says nothing with structure {}; leave one of them out",
                      options.text("structure"));
    }
    if (options.integer("bits") == 0) {
      check_no_scheme(options);
      return;
    }
    if (options.integer("bits") == 1) throw bad_usage("option bits: 1 is neither 0 nor 2 to 8");
    scheme_ = parse_scheme(options, context);
    grid_ = parse_grid(options, *scheme_);
  }

  bool quantizes() const override { return scheme_.has_value(); }

  StatisticsNeeds needs() const override {
    return scheme_ ? scheme_needs(*scheme_) : StatisticsNeeds();
  }

  void check(const std::string& name, std::int64_t /*rows*/, std::int64_t columns) const override {
    check_pattern(name, columns, pruning_);
    if (scheme_) check_width(name, columns, *scheme_);
  }

 private:
  static void check_no_scheme(const MethodOptions& options) {
    for (const MethodOption& option : with_scheme_options({})) {
      if (option.name != "bits" && options.given(option.name)) {
        throw bad_usage("option {}: says nothing without bits", option.name);
      }
    }
  }

  LinearResult solve(LinearProblem problem, const GptqHessian& hessian) const override {
    Matrix& weight = problem.weight;
    const SparseGptOptions options{pruning_, block_size_, problem.keep_zeros};
    if (scheme_) {
      zero_dead_inputs(hessian, weight);
      QuantizedMatrix result = empty_result(*scheme_, weight.rows(), weight.cols());
      set_input_grid(problem, result);
      fit_weight_grids(grid_, weight, result);
      prune_and_quantize(options, hessian, weight, result);
      return result;
    }
    // Nothing was asked for: not even weights of dead inputs change.
    if (pruning_.sparsity > 0.0) {
      zero_dead_inputs(hessian, weight);
      prune_with_feedback(options, hessian, weight);
    }
    return std::move(weight);
  }

  PruningOptions pruning_;
  std::int64_t block_size_;
  std::optional<QuantizationScheme> scheme_;  // of what is left
  GridOptions grid_;
};

const LinearMethodRegistration kRegistration(
    {"sparsegpt", "prune",
     "Prune column after column, feeding each error to the columns that come later",
     "Frantar, Alistarh: SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot, "
     "ICML 2023 (arXiv:2301.00774)",
     MethodScope::linear, MethodNeed::input_second_moments,
     with_pruning_options(
         {}, with_joint_options({
                 {"percdamp",
                  0.01,
                  "Damping, as a share of the mean of the Hessian's diagonal",
                  {},
                  0,
                  100},
                 {"block_size",
                  std::int64_t{128},
                  "Columns whose weights, of all rows, are compared (structure unstructured)",
                  {},
                  1,
                  4096},
             }))},
    [](const MethodOptions& options, const MethodContext& context) {
      return std::make_unique<SparseGpt>(options, context);
    });

}  // namespace
}  // namespace terse
