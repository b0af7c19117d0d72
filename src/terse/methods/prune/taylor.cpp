// Taylor pruning: the weights become zero whose removal changes the loss least, by the first or the
// second order of its Taylor expansion; the gradients are in importance scores.
#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

#include "terse/core/error.h"
#include "terse/core/threads.h"
#include "terse/methods/linear_checks.h"
#include "terse/methods/method.h"
#include "terse/methods/prune/pruning_options.h"
#include "terse/methods/prune/score_pruning.h"

namespace terse {
namespace {

constexpr std::int64_t kRowTile = 64;

// Whatever it changes, a weight counts for more than those that are zero already.
float above_zero(float change, float weight) {
  return weight == 0.0F ? 0.0F : std::max(change, std::numeric_limits<float>::min());
}

class Taylor : public LinearMethod {
 public:
  explicit Taylor(const MethodOptions& options)
      : pruning_(parse_pruning(options)),
        granularity_(parse_granularity(options, pruning_)),
        score_(options.text("score") == "fisher" ? ImportanceScore::fisher
                                                 : ImportanceScore::taylor) {}

  std::optional<ImportanceScore> importance() const override { return score_; }

  void check(const std::string& name, std::int64_t /*rows*/, std::int64_t columns) const override {
    check_pattern(name, columns, pruning_);
  }

  LinearResult compress(LinearProblem problem) const override {
    check_values(problem);
    check_pattern(problem.name, problem.weight.cols(), pruning_);
    Matrix& weight = problem.weight;
    Matrix& scores = problem.importance;
    if (scores.rows() != weight.rows() || scores.cols() != weight.cols()) {
      throw failure("{}: scores of [{}, {}] weights are needed, found [{}, {}]", problem.name,
                    weight.rows(), weight.cols(), scores.rows(), scores.cols());
    }
    parallel_tiles(weight.rows(), kRowTile, [&](std::int64_t first, std::int64_t count) {
      for (std::int64_t i = first * weight.cols(); i < (first + count) * weight.cols(); ++i) {
        scores.data()[i] = above_zero(change(scores.data()[i], weight.data()[i]), weight.data()[i]);
      }
    });
    prune_smallest(weight, scores, pruning_, granularity_);
    return std::move(weight);
  }

 private:
  // Of the loss. The second order takes the Fisher information for the Hessian (Theis et al.,
  // arXiv 1801.05787, "Fisher pruning"): w^2 F / 2.
  float change(float score, float weight) const {
    return score_ == ImportanceScore::taylor ? score : 0.5F * weight * weight * score;
  }

  PruningOptions pruning_;
  Granularity granularity_;
  ImportanceScore score_;
};

const LinearMethodRegistration kRegistration(
    {"taylor", "prune",
     "Set the weights to zero whose removal changes the loss least, by their gradients",
     "Molchanov et al., Importance Estimation for Neural Network Pruning, CVPR 2019 "
     "(arXiv:1906.10771); Fisher: Theis et al., Faster gaze prediction with dense networks and "
     "Fisher pruning, 2018 (arXiv:1801.05787)",
     MethodScope::linear, MethodNeed::importance,
     with_pruning_options(
         {}, {{"score",
               std::string("taylor"),
               "taylor: first order, |w g|; fisher: second order, with the Fisher information",
               {"taylor", "fisher"}},
              granularity_option()})},
    [](const MethodOptions& options, const MethodContext& /*context*/) {
      return std::make_unique<Taylor>(options);
    });

}  // namespace
}  // namespace terse
