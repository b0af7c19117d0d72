// ASVD: the singular value decomposition of a weight whose columns are scaled by the size of their
// inputs.
#include <memory>

#include "terse/methods/lowrank/input_sizes.h"
#include "terse/methods/lowrank/low_rank_method.h"

namespace terse {
namespace {

class Asvd : public LowRankMethod {
 public:
  explicit Asvd(const MethodOptions& options)
      : LowRankMethod(options), alpha_(options.number("alpha")) {}

 protected:
  // S = diag(a_j^alpha), a_j the root mean square of input j (the paper takes the mean of absolute
  // values; equation 9).
  ErrorWeights weights(const LinearProblem& problem) const override {
    ErrorWeights weights;
    weights.columns = input_sizes(problem.inputs, alpha_);
    return weights;
  }

 private:
  double alpha_;
};

const LinearMethodRegistration kRegistration(
    {"asvd", "low-rank",
     "Replace a weight by two narrow ones, its columns counting as their inputs are large",
     "Yuan et al., ASVD: Activation-aware Singular Value Decomposition, 2023 (arXiv:2312.05821), "
     "section 3.2",
     MethodScope::linear, MethodNeed::input_norms,
     with_rank_options({{"alpha", 0.5, "Power of the size of an input", {}, 0, 2}})},
    [](const MethodOptions& options, const MethodContext& /*context*/) {
      return std::make_unique<Asvd>(options);
    });

}  // namespace
}  // namespace terse
