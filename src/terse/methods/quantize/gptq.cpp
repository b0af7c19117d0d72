// GPTQ: columns are quantised one after the other, each after the errors of those before it have
// been fed to it. Computed as linear feedback through the LDL factors of the Hessian.
#include <memory>
#include <utility>

#include "terse/core/error.h"
#include "terse/core/threads.h"
#include "terse/methods/method.h"
#include "terse/methods/quantize/feedback.h"
#include "terse/methods/quantize/gptq_hessian.h"
#include "terse/methods/quantize/scheme_options.h"

namespace terse {
namespace {

class Gptq : public LinearMethod {
 public:
  Gptq(const MethodOptions& options, const MethodContext& context)
      : scheme_(parse_scheme(options, context)),
        grid_(parse_grid(options, scheme_)),
        percdamp_(options.number("percdamp")),
        desc_act_(options.flag("desc_act")),
        block_size_(options.integer("block_size")),
        running_groups_(scheme_.strategy == QuantizationStrategy::group &&
                        !options.flag("static_groups")) {
    if (desc_act_) {
      scheme_.actorder = running_groups_ ? ActivationOrdering::group : ActivationOrdering::weight;
    }
  }

  StatisticsNeeds needs() const override { return scheme_needs(scheme_); }

  void check(const std::string& name, std::int64_t /*rows*/, std::int64_t columns) const override {
    check_width(name, columns, scheme_);
  }

  LinearResult compress(LinearProblem problem) const override {
    const GptqHessian hessian = factor(problem);
    return quantize(std::move(problem), hessian);
  }

  std::vector<LinearResult> compress_all(std::vector<LinearProblem> problems) const override {
    std::vector<LinearResult> results;
    if (problems.empty()) return results;
    const GptqHessian hessian = factor(problems.front());
    for (LinearProblem& problem : problems) {
      results.push_back(quantize(std::move(problem), hessian));
    }
    return results;
  }

 private:
  GptqHessian factor(const LinearProblem& problem) const {
    if (problem.inputs == nullptr) {
      throw failure("{}: gptq needs second moments of the inputs", problem.name);
    }
    return with_context(problem.name, [&] {
      return factor_hessian(problem.inputs->moments(), percdamp_, desc_act_);
    });
  }

  LinearResult quantize(LinearProblem problem, const GptqHessian& hessian) const {
    check_weight(problem, scheme_);
    Matrix& weight = problem.weight;
    if (weight.cols() != static_cast<std::int64_t>(hessian.order.size())) {
      throw failure("{}: second moments of {} inputs found where the weight has {}", problem.name,
                    hessian.order.size(), weight.cols());
    }
    for (const std::int64_t column : hessian.dead) weight.col(column).setZero();
    QuantizedMatrix result = empty_result(scheme_, weight.rows(), weight.cols());
    set_input_grid(problem, result);
    FeedbackOptions options{grid_, block_size_, 0};
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
  double percdamp_;
  bool desc_act_;
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
