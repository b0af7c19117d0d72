// SVD-LLM: nearest to the weight's output on the calibration inputs.
#include <memory>
#include <utility>

#include "terse/core/error.h"
#include "terse/methods/lowrank/low_rank_method.h"
#include "terse/methods/lowrank/refit.h"

namespace terse {
namespace {

class SvdLlm : public LowRankMethod {
 public:
  explicit SvdLlm(const MethodOptions& options)
      : LowRankMethod(options), update_(options.flag("update")) {}

  StatisticsNeeds needs() const override {
    StatisticsNeeds needs;
    needs.shift = update_;
    return needs;
  }

 protected:
  ErrorWeights weights(const LinearProblem& problem) const override {
    if (problem.inputs == nullptr) throw failure("second moments of the inputs are needed");
    return {{}, &problem.inputs->moments()};
  }

  // Section 3.3. The whitening is by the inputs that the linear reads now, for which B is best as
  // it is; what is made up for is how they differ from those that it read before.
  TruncatedSvd refined(const LinearProblem& problem, TruncatedSvd terms) const override {
    if (!update_) return terms;
    const InputStatistics& inputs = *problem.inputs;
    Matrix left = refitted_left(problem.weight, terms, inputs.moments(), inputs.shift());
    return {std::move(left), std::move(terms.right)};
  }

 private:
  bool update_;
};

const LinearMethodRegistration kRegistration(
    {"svd_llm", "low-rank",
     "Replace a weight by two narrow ones whose output on the calibration text is nearest",
     "Wang et al., SVD-LLM: Truncation-aware Singular Value Decomposition, ICLR 2025 "
     "(arXiv:2403.07378), sections 3.2 and 3.3",
     MethodScope::linear, MethodNeed::input_second_moments,
     with_rank_options(
         {{"update", true,
           "The outer factor is fitted to what the linear put out before the pass"}})},
    [](const MethodOptions& options, const MethodContext& /*context*/) {
      return std::make_unique<SvdLlm>(options);
    });

}  // namespace
}  // namespace terse
