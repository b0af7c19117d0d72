// SmoothQuant: difficult activations are divided and weights multiplied by a scale per channel, so
// that both can be rounded to 8 bits.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <memory>

#include "terse/core/error.h"
#include "terse/methods/block_method.h"
#include "terse/methods/fold/scale_folds.h"

namespace terse {
namespace {

// The smallest weight and the smallest scale of the published code.
constexpr float kSmallest = 1e-5F;

Vector largest_inputs(const ScaleFold& fold, const InputStatistics& inputs) {
  Vector largest = Vector::Zero(fold.channels());
  for (std::int64_t c = 0; c < inputs.columns(); ++c) {
    float& value = largest[fold.channel_of_input[static_cast<std::size_t>(c)]];
    value = std::max(value, inputs.largest(c));
  }
  return largest;
}

Vector largest_weights(const ScaleFold& fold, const std::vector<Matrix>& weights) {
  Vector largest = Vector::Constant(fold.channels(), kSmallest);
  for (const Matrix& weight : weights) {
    const Vector columns = weight.cwiseAbs().colwise().maxCoeff();
    for (std::int64_t c = 0; c < weight.cols(); ++c) {
      float& value = largest[fold.channel_of_input[static_cast<std::size_t>(c)]];
      value = std::max(value, columns[c]);
    }
  }
  return largest;
}

class SmoothQuant : public BlockMethod {
 public:
  explicit SmoothQuant(const MethodOptions& options)
      : alpha_(options.number("alpha")), all_stages_(options.text("stages") == "all") {}

  std::vector<BlockReport> transform(BlockProblem problem) const override {
    std::vector<Stage> stages{Stage::attention_input, Stage::mlp_input};
    if (all_stages_) stages.assign(std::begin(kStages), std::end(kStages));
    return fold_stages(
        problem, stages,
        [&](const ScaleFold& fold, const InputStatistics& inputs,
            const std::vector<Matrix>& weights) { return find_scales(fold, inputs, weights); });
  }

 private:
  // s_j = max|X_j|^alpha / max|W_j|^(1 - alpha) (equation 4).
  FoundScales find_scales(const ScaleFold& fold, const InputStatistics& inputs,
                          const std::vector<Matrix>& weights) const {
    if (!inputs.needs().ranges) throw failure("smoothquant needs ranges of the inputs");
    const Vector activations = largest_inputs(fold, inputs);
    const Vector columns = largest_weights(fold, weights);
    Vector scales(fold.channels());
    for (std::int64_t j = 0; j < scales.size(); ++j) {
      const double scale =
          std::pow(activations[j], alpha_) / std::pow(static_cast<double>(columns[j]), 1 - alpha_);
      // An input that was always zero says nothing about its scale.
      const bool known = activations[j] > 0.0F && std::isfinite(scale);
      scales[j] = known ? std::max(static_cast<float>(scale), kSmallest) : 1.0F;
    }
    return {scales, fmt::format("alpha {}", alpha_)};
  }

  double alpha_;
  bool all_stages_;
};

const BlockMethodRegistration kRegistration(
    {"smoothquant",
     "smooth",
     "Move the range of activations into the weights, for rounding both to 8 bits",
     "Xiao, Lin, Seznec, Wu, Demouth, Han: SmoothQuant, ICML 2023 (arXiv:2211.10438)",
     MethodScope::block,
     MethodNeed::input_ranges,
     {
         {"alpha", 0.5, "Migration strength: 0 evens out the weights, 1 the activations", {}, 0, 1},
         {"stages",
          std::string("norms"),
          "Inputs to smooth: those that come from norms, or all that a scale passes to",
          {"norms", "all"}},
     }},
    [](const MethodOptions& options, const MethodContext&) {
      return std::make_unique<SmoothQuant>(options);
    });

}  // namespace
}  // namespace terse
