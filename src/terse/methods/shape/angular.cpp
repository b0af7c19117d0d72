// The run of neighbouring blocks goes whose end is nearest to its beginning, in angle.
#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>
#include <vector>

#include "terse/methods/shape/depth.h"
#include "terse/methods/shape_method.h"

namespace terse {
namespace {

class Angular : public ShapeMethod {
 public:
  explicit Angular(const MethodOptions& options) : depth_("angular", options) {}

  ShapeNeeds needs() const override { return {.flow = true}; }

  // Only the last token of every sequence is looked at (section 3.2).
  void look_at(const BlockFlow& flow) override {
    const auto index = static_cast<std::size_t>(flow.index);
    streams_.resize(std::max(streams_.size(), index + 2));
    if (index == 0) keep_last(flow.before, flow.window, streams_[0]);
    keep_last(flow.after, flow.window, streams_[index + 1]);
  }

  std::vector<KeptBlock> kept(const Architecture& a) const override {
    const std::int64_t removed = depth_.removed(a);
    std::int64_t best = 0;
    double least = 2.0;
    for (std::int64_t first = 0; first + removed <= a.num_hidden_layers; ++first) {
      const double distance = mean_distance(first, first + removed);
      if (distance >= least) continue;
      least = distance;
      best = first;
    }
    std::vector<std::int64_t> run;
    for (std::int64_t i = 0; i < removed; ++i) run.push_back(best + i);
    return all_but(run, a);
  }

 private:
  using Rows = std::vector<Eigen::VectorXd>;

  static void keep_last(const Matrix& stream, std::int64_t window, Rows& rows) {
    for (std::int64_t t = window - 1; t < stream.rows(); t += window) {
      rows.emplace_back(stream.row(t).transpose().cast<double>());
    }
  }

  // Equation 7: arccos of the cosine, over pi, and its mean over sequences.
  double mean_distance(std::int64_t from, std::int64_t to) const {
    if (streams_.empty()) return 0.0;
    const Rows& x = streams_[static_cast<std::size_t>(from)];
    const Rows& y = streams_[static_cast<std::size_t>(to)];
    double sum = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double norms = x[i].norm() * y[i].norm();
      const double cosine = norms > 0 ? std::clamp(x[i].dot(y[i]) / norms, -1.0, 1.0) : 1.0;
      sum += std::acos(cosine) / std::numbers::pi;
    }
    return sum / static_cast<double>(x.size());
  }

  Depth depth_;
  std::vector<Rows> streams_;  // by block boundary; rows by sequence
};

const ShapeMethodRegistration registration(
    {"angular", "shape",
     "Remove the run of blocks over which the residual stream turns by the least angle",
     "Gromov, Tirumala, Shapourian, Glorioso, Roberts: The Unreasonable Ineffectiveness of the "
     "Deeper Layers, ICLR 2025 (arXiv:2403.17887)",
     MethodScope::model, MethodNeed::block_inputs_outputs, depth_options()},
    [](const MethodOptions& options) { return std::make_unique<Angular>(options); });

}  // namespace
}  // namespace terse
