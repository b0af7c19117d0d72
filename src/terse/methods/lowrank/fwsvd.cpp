// FWSVD: the singular value decomposition of a weight whose columns count as the loss feels them.
#include <memory>

#include "terse/core/error.h"
#include "terse/methods/lowrank/low_rank_method.h"

namespace terse {
namespace {

// Of the largest: inputs whose weights the loss did not feel count for something.
constexpr double kLeastInput = 1e-6;

class Fwsvd : public LowRankMethod {
 public:
  using LowRankMethod::LowRankMethod;

  std::optional<ImportanceScore> importance() const override { return ImportanceScore::fisher; }

 protected:
  // The root of the Fisher information of all weights of an input (section 4; the paper's W is
  // [in, out], and its rows are our columns).
  ErrorWeights weights(const LinearProblem& problem) const override {
    if (problem.importance.rows() != problem.weight.rows() ||
        problem.importance.cols() != problem.weight.cols()) {
      throw failure("Fisher scores of its weights are needed");
    }
    const Eigen::RowVectorXd sums = problem.importance.cast<double>().colwise().sum();
    const double largest = sums.maxCoeff();
    if (!(largest > 0)) throw bad_input("all of its Fisher scores are zero");
    ErrorWeights weights;
    weights.columns = (sums / largest).cwiseMax(kLeastInput).cwiseSqrt().cast<float>().transpose();
    return weights;
  }
};

const LinearMethodRegistration kRegistration(
    {"fwsvd", "low-rank",
     "Replace a weight by two narrow ones, its columns counting as the loss feels them",
     "Hsu et al., Language model compression with weighted low-rank factorization, ICLR 2022 "
     "(arXiv:2207.00112)",
     MethodScope::linear, MethodNeed::importance, with_rank_options({})},
    [](const MethodOptions& options, const MethodContext& /*context*/) {
      return std::make_unique<Fwsvd>(options);
    });

}  // namespace
}  // namespace terse
