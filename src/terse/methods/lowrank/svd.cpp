// Truncated singular value decomposition: nearest to the weight, whatever its inputs.
#include <memory>

#include "terse/methods/lowrank/low_rank_method.h"

namespace terse {
namespace {

class Svd : public LowRankMethod {
 public:
  using LowRankMethod::LowRankMethod;

 protected:
  ErrorWeights weights(const LinearProblem& /*problem*/) const override { return {}; }
};

const LinearMethodRegistration kRegistration(
    {"svd", "low-rank", "Replace a weight by two narrow ones: its truncated SVD",
     "Eckart and Young, The Approximation of One Matrix by Another of Lower Rank, 1936; of "
     "networks: Denton et al., NeurIPS 2014 (arXiv:1404.0736)",
     MethodScope::linear, MethodNeed::nothing, with_rank_options({})},
    [](const MethodOptions& options, const MethodContext& /*context*/) {
      return std::make_unique<Svd>(options);
    });

}  // namespace
}  // namespace terse
