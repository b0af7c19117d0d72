// GPTQ: columns are quantised one after the other, each after the errors of those before it have
// been fed to it. Computed as linear feedback through the LDL factors of the Hessian.
#include <memory>
#include <utility>

#include "terse/methods/quantize/feedback.h"
#include "terse/methods/quantize/feedback_method.h"
#include "terse/methods/quantize/scheme_options.h"

namespace terse {
namespace {

class Gptq : public FeedbackMethod {
 public:
  Gptq(const MethodOptions& options, const MethodContext& context)
      : FeedbackMethod(options.number("percdamp"), options.flag("desc_act")),
        scheme_(parse_scheme(options, context)),
        grid_(parse_grid(options, scheme_)),
        block_size_(options.integer("block_size")),
        running_groups_(scheme_.strategy == QuantizationStrategy::group &&
                        !options.flag("static_groups")) {
    if (options.flag("desc_act")) {
      scheme_.actorder = running_groups_ ? ActivationOrdering::group : ActivationOrdering::weight;
    }
  }

  bool quantizes() const override { return true; }

  StatisticsNeeds needs() const override { return scheme_needs(scheme_); }

  void check(const std::string& name, std::int64_t /*rows*/, std::int64_t columns) const override {
    check_width(name, columns, scheme_);
  }

 private:
  LinearResult solve(LinearProblem problem, const GptqHessian& hessian) const override {
    Matrix& weight = problem.weight;
    zero_dead_inputs(hessian, weight);
    QuantizedMatrix result = empty_result(scheme_, weight.rows(), weight.cols());
    set_input_grid(problem, result);
    FeedbackOptions options{grid_, block_size_, 0, problem.keep_zeros};
    if (running_groups_) {
      options.running_group_size = scheme_.group_size;
    } else {
      fit_weight_grids(grid_, weight, result);
    }
    quantize_with_feedback(options, weight, hessian, result);
    if (scheme_.actorder == ActivationOrdering::group) set_group_index(hessian, result);
    return result;
  }

  void set_group_index(const GptqHessian& hessian, QuantizedMatrix& result) const {
    result.g_idx.resize(hessian.order.size());
    for (std::size_t step = 0; step < hessian.order.size(); ++step) {
      result.g_idx[static_cast<std::size_t>(hessian.order[step])] =
          static_cast<std::int32_t>(static_cast<std::int64_t>(step) / scheme_.group_size);
    }
  }

  QuantizationScheme scheme_;
  GridOptions grid_;
  std::int64_t block_size_;
  bool running_groups_;
};

const LinearMethodRegistration kRegistration(
    {"gptq", "quantize",
     "Quantise column after column, feeding each error to the columns that come later",
     "Frantar, Ashkboos, Hoefler, Alistarh: GPTQ, ICLR 2023 (arXiv:2210.17323), in the form of "
     "Chee et al.: QuIP, NeurIPS 2023 (arXiv:2307.13304)",
     MethodScope::linear, MethodNeed::input_second_moments,
     with_scheme_options({
         {"percdamp",
          0.01,
          "Damping, as a share of the mean of the Hessian's diagonal",
          {},
          0,
          100},
         {"desc_act", false, "Quantise columns by falling activation"},
         {"static_groups", false, "Fit all grids to the weight before any column is quantised"},
         {"block_size",
          std::int64_t{128},
          "Columns between which errors are fed back one at a time",
          {},
          1,
          4096},
     })},
    [](const MethodOptions& options, const MethodContext& context) {
      return std::make_unique<Gptq>(options, context);
    });

}  // namespace
}  // namespace terse
