// Heads and channels of the smallest weights go: the baseline that sees no text.
#include <memory>

#include "terse/methods/shape/unit_pruning.h"

namespace terse {
namespace {

class Magnitude : public UnitScore {
 public:
  Eigen::VectorXd scores(const Matrix& weight, const InputStatistics* /*inputs*/) override {
    return weight.cast<double>().colwise().squaredNorm();
  }
};

const ShapeMethodRegistration registration(
    {"magnitude_sp", "shape",
     "Prune heads and channels whose weights in o_proj and down_proj have the smallest norm",
     "Li, Kadav, Durdanovic, Samet, Graf: Pruning Filters for Efficient ConvNets, ICLR 2017 "
     "(arXiv:1608.08710), section 3",
     MethodScope::model, MethodNeed::nothing, unit_pruning_options("uniform", "none")},
    [](const MethodOptions& options) {
      return std::make_unique<UnitPruning>("magnitude_sp", options, std::make_unique<Magnitude>());
    });

}  // namespace
}  // namespace terse
