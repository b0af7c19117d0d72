// FLAP: units whose outputs hardly vary over tokens go; a bias stands in for their mean.
#include <cmath>
#include <memory>

#include "terse/core/error.h"
#include "terse/methods/shape/unit_pruning.h"

namespace terse {
namespace {

// Equation 5: the variance of an input over tokens, times the squared norm of its column.
class Fluctuation : public UnitScore {
 public:
  StatisticsNeeds needs() const override { return {.norms = true, .means = true}; }

  Eigen::VectorXd scores(const Matrix& weight, const InputStatistics* inputs) override {
    if (inputs == nullptr) throw failure("statistics of the inputs are needed and are absent");
    const auto tokens = static_cast<double>(inputs->tokens());
    Eigen::VectorXd scores(weight.cols());
    for (std::int64_t c = 0; c < weight.cols(); ++c) {
      const double mean = inputs->mean(c);
      const double variance = inputs->squared_norm(c) / tokens - mean * mean;
      scores[c] = std::max(0.0, variance) * weight.col(c).cast<double>().squaredNorm();
    }
    return scores;
  }
};

const ShapeMethodRegistration registration(
    {"flap", "shape", "Prune heads and channels whose outputs vary least over tokens",
     "An, Zhao, Yu, Tang, Wang: Fluctuation-based Adaptive Structured Pruning for Large Language "
     "Models, AAAI 2024 (arXiv:2312.11983)",
     MethodScope::model, MethodNeed::input_norms, unit_pruning_options("adaptive", "bias")},
    [](const MethodOptions& options) {
      return std::make_unique<UnitPruning>("flap", options, std::make_unique<Fluctuation>());
    });

}  // namespace
}  // namespace terse
