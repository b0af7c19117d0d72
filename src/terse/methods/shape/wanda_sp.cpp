// Wanda's scores added up over the weights of a unit.
#include <cmath>
#include <memory>

#include "terse/core/error.h"
#include "terse/methods/shape/unit_pruning.h"

namespace terse {
namespace {

// |W_ij| ||X_j|| over the outputs i: what the input can change of them.
class WandaScore : public UnitScore {
 public:
  StatisticsNeeds needs() const override { return {.norms = true}; }

  Eigen::VectorXd scores(const Matrix& weight, const InputStatistics* inputs) override {
    if (inputs == nullptr) throw failure("norms of the inputs are needed and are absent");
    Eigen::VectorXd scores(weight.cols());
    for (std::int64_t c = 0; c < weight.cols(); ++c) {
      scores[c] =
          weight.col(c).cast<double>().cwiseAbs().sum() * std::sqrt(inputs->squared_norm(c));
    }
    return scores;
  }
};

const ShapeMethodRegistration registration(
    {"wanda_sp", "shape", "Prune heads and channels by |W| ||X||, added up over their weights",
     "Sun, Liu, Bair, Kolter: A Simple and Effective Pruning Approach for Large Language Models, "
     "ICLR 2024 (arXiv:2306.11695); for whole units as in An et al. (arXiv:2312.11983), section 4",
     MethodScope::model, MethodNeed::input_norms, unit_pruning_options("uniform", "least_squares")},
    [](const MethodOptions& options) {
      return std::make_unique<UnitPruning>("wanda_sp", options, std::make_unique<WandaScore>());
    });

}  // namespace
}  // namespace terse
