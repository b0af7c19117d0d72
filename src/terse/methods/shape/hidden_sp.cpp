// Hidden channels, values of the residual stream, that go from every block, embedding and head.
#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "terse/core/error.h"
#include "terse/methods/shape/ratio_of.h"
#include "terse/methods/shape/unit_choice.h"
#include "terse/methods/shape_method.h"

namespace terse {
namespace {

class HiddenPruning : public ShapeMethod {
 public:
  explicit HiddenPruning(const MethodOptions& options)
      : wanda_(options.text("score") == "wanda"),
        ratio_(options.number("ratio")),
        hidden_size_(options.integer("hidden_size")),
        multiple_(options.integer("multiple")),
        resolves_(read_resolving(options)) {
    if (hidden_size_ > 0 && gives_ratio(options)) {
      throw bad_usage("hidden_sp: ratio and hidden_size both say how much goes; leave one out");
    }
  }

  ShapeNeeds needs() const override { return {.weights = true, .inputs = {.norms = wanda_}}; }

  bool resolves() const override { return resolves_; }

  // Every linear says how much each channel is of all that it reads or puts out.
  void look_at(const BlockView& view) override {
    scores_.resize(static_cast<std::size_t>(view.architecture.hidden_size));
    for (const auto& [key, linear] : view.block.linears) {
      const Stage stage = stage_of(key.role);
      const bool reads = stage == Stage::attention_input || stage == Stage::mlp_input;
      const Eigen::MatrixXd sizes = sizes_of(view, stage, linear.weight->dense());
      const Eigen::VectorXd of_channels =
          reads ? Eigen::VectorXd(sizes.colwise().sum()) : Eigen::VectorXd(sizes.rowwise().sum());
      const double all = of_channels.sum();
      for (std::size_t i = 0; all > 0 && i < scores_.size(); ++i) {
        scores_[i] += of_channels[static_cast<std::int64_t>(i)] / all;
      }
    }
  }

  std::vector<KeptBlock> kept(const Architecture& a) const override {
    const std::vector<double> alike(static_cast<std::size_t>(a.hidden_size), 1.0);
    const auto channels = largest(scores_.empty() ? alike : scores_, width(a));
    std::vector<KeptBlock> kept;
    for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
      kept.push_back({block});
      kept.back().hidden = channels;
    }
    return kept;
  }

 private:
  // |W_ij| ||X_j||, or W_ij^2.
  Eigen::MatrixXd sizes_of(const BlockView& view, Stage stage, const Matrix& weight) const {
    if (!wanda_) return weight.cast<double>().cwiseAbs2();
    Eigen::MatrixXd sizes = weight.cast<double>().cwiseAbs();
    const InputStatistics& inputs = view.inputs.at(stage);
    for (std::int64_t c = 0; c < sizes.cols(); ++c) {
      sizes.col(c) *= std::sqrt(inputs.squared_norm(c));
    }
    return sizes;
  }

  std::int64_t width(const Architecture& a) const {
    if (hidden_size_ > a.hidden_size) {
      throw bad_usage("hidden_sp: hidden_size {}, where the model has {}", hidden_size_,
                      a.hidden_size);
    }
    if (hidden_size_ > 0) return hidden_size_;
    const double left = (1 - ratio_) * static_cast<double>(a.hidden_size);
    const std::int64_t steps = std::lrint(left / static_cast<double>(multiple_));
    if (steps >= 1) return std::min(steps * multiple_, a.hidden_size);
    throw bad_usage(
        "hidden_sp: a ratio of {} leaves {:.1f} of {} hidden channels, less than the "
        "multiple {}",
        ratio_, left, a.hidden_size, multiple_);
  }

  bool wanda_;
  double ratio_;
  std::int64_t hidden_size_;
  std::int64_t multiple_;
  bool resolves_;
  std::vector<double> scores_;
};

const ShapeMethodRegistration registration(
    {"hidden_sp",
     "shape",
     "Prune hidden channels: the same values of the residual stream everywhere",
     "Sun, Liu, Bair, Kolter (arXiv:2306.11695) for groups that couple all blocks, as in Ma, Fang, "
     "Wang: LLM-Pruner, NeurIPS 2023 (arXiv:2305.11627), section 3.1",
     MethodScope::model,
     MethodNeed::input_second_moments,
     {{"ratio", 0.2, "Share of the hidden channels that goes", {}, 0, 1, true},
      ratio_of_option("hidden_channels"),
      {"hidden_size",
       std::int64_t{0},
       "In place of the ratio: hidden channels that stay",
       {},
       0,
       1e9,
       true},
      {"score",
       "wanda",
       "By |W| ||X|| or by W^2, added up over all weights of a channel",
       {"wanda", "magnitude"},
       {},
       {},
       true},
      {"multiple",
       std::int64_t{16},
       "Hidden channels that stay are a multiple of it",
       {},
       1,
       1e9,
       true},
      resolving_option("the channels that go, in every linear")}},
    [](const MethodOptions& options) { return std::make_unique<HiddenPruning>(options); });

}  // namespace
}  // namespace terse
