// ShortGPT: blocks that turn the residual stream least go.
#include <algorithm>
#include <memory>
#include <vector>

#include "terse/methods/shape/depth.h"
#include "terse/methods/shape/unit_choice.h"
#include "terse/methods/shape_method.h"

namespace terse {
namespace {

class ShortGpt : public ShapeMethod {
 public:
  explicit ShortGpt(const MethodOptions& options) : depth_("shortgpt", options) {}

  ShapeNeeds needs() const override { return {.flow = true}; }

  // Block influence, equation 1: one less the mean cosine of what goes in and what comes out.
  void look_at(const BlockFlow& flow) override {
    influence_.resize(std::max(influence_.size(), static_cast<std::size_t>(flow.index) + 1));
    Influence& own = influence_[static_cast<std::size_t>(flow.index)];
    for (std::int64_t t = 0; t < flow.before.rows(); ++t) {
      const auto x = flow.before.row(t).cast<double>();
      const auto y = flow.after.row(t).cast<double>();
      const double norms = x.norm() * y.norm();
      own.sum += norms > 0 ? 1.0 - x.dot(y) / norms : 0.0;
    }
    own.tokens += static_cast<double>(flow.before.rows());
  }

  std::vector<KeptBlock> kept(const Architecture& a) const override {
    std::vector<double> scores(static_cast<std::size_t>(a.num_hidden_layers));
    for (std::size_t block = 0; block < influence_.size(); ++block) {
      scores[block] = influence_[block].sum / influence_[block].tokens;
    }
    std::vector<KeptBlock> kept;
    for (const std::int64_t block : largest(scores, a.num_hidden_layers - depth_.removed(a))) {
      kept.push_back({block});
    }
    return kept;
  }

 private:
  struct Influence {
    double sum = 0;
    double tokens = 0;
  };

  Depth depth_;
  std::vector<Influence> influence_;  // by block
};

const ShapeMethodRegistration registration(
    {"shortgpt", "shape", "Remove the blocks of least influence on the residual stream",
     "Men, Xu, Zhang, Wang, Lin, Lu, Han, Chen: ShortGPT: Layers in Large Language Models are More "
     "Redundant Than You Expect, 2024 (arXiv:2403.03853)",
     MethodScope::model, MethodNeed::block_inputs_outputs, depth_options()},
    [](const MethodOptions& options) { return std::make_unique<ShortGpt>(options); });

}  // namespace
}  // namespace terse
