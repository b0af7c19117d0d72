// Heads and channels drawn by lot: what any other choice should beat.
#include <memory>

#include "terse/core/random.h"
#include "terse/methods/shape/unit_pruning.h"

namespace terse {
namespace {

class Lot : public UnitScore {
 public:
  explicit Lot(std::int64_t seed) : random_(static_cast<std::uint64_t>(seed)) {}

  Eigen::VectorXd scores(const Matrix& weight, const InputStatistics* /*inputs*/) override {
    Eigen::VectorXd scores(weight.cols());
    for (double& score : scores) score = random_.uniform();
    return scores;
  }

 private:
  Random random_;
};

std::vector<MethodOption> options() {
  std::vector<MethodOption> all = unit_pruning_options("uniform", "none");
  all.push_back({"draw", std::int64_t{0}, "Another lot for another number", {}, 0, 1e9, true});
  return all;
}

const ShapeMethodRegistration registration(
    {"random_sp", "shape", "Prune heads and channels drawn by lot: a control for other methods",
     "Ma, Fang, Wang: LLM-Pruner: On the Structural Pruning of Large Language Models, NeurIPS 2023 "
     "(arXiv:2305.11627), section 4.2, where it is the control",
     MethodScope::model, MethodNeed::nothing, options()},
    [](const MethodOptions& given) {
      return std::make_unique<UnitPruning>("random_sp", given,
                                           std::make_unique<Lot>(given.integer("draw")));
    });

}  // namespace
}  // namespace terse
