// SVD-LLM: nearest to the weight's output on the calibration inputs.
#include <memory>

#include "terse/core/error.h"
#include "terse/methods/lowrank/low_rank_method.h"

namespace terse {
namespace {

class SvdLlm : public LowRankMethod {
 public:
  using LowRankMethod::LowRankMethod;

 protected:
  ErrorWeights weights(const LinearProblem& problem) const override {
    if (problem.inputs == nullptr) throw failure("second moments of the inputs are needed");
    return {{}, &problem.inputs->moments()};
  }
};

const LinearMethodRegistration kRegistration(
    {"svd_llm", "low-rank",
     "Replace a weight by two narrow ones whose output on the calibration text is nearest",
     "Wang et al., SVD-LLM: Truncation-aware Singular Value Decomposition, ICLR 2025 "
     "(arXiv:2403.07378), section 3.2",
     MethodScope::linear, MethodNeed::input_second_moments, with_rank_options({})},
    [](const MethodOptions& options, const MethodContext& /*context*/) {
      return std::make_unique<SvdLlm>(options);
    });

}  // namespace
}  // namespace terse
