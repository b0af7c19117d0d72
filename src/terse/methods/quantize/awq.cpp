// AWQ: weights that meet large activations are scaled up before they are rounded, and grids are
// clipped where that loses less of the output.
#include <iterator>
#include <memory>

#include "terse/core/error.h"
#include "terse/methods/block_method.h"
#include "terse/methods/fold/scale_folds.h"
#include "terse/methods/quantize/awq_clip.h"
#include "terse/methods/quantize/awq_scale.h"
#include "terse/methods/quantize/nearest.h"
#include "terse/methods/quantize/scheme_options.h"

namespace terse {
namespace {

// Scales of the stages of a block.
class AwqScaling : public BlockMethod {
 public:
  AwqScaling(const MethodOptions& options, const MethodContext& context) {
    search_.scheme = parse_scheme(options, context);
    search_.grid = parse_grid(options, search_.scheme);
    search_.n_grid = options.integer("n_grid");
    search_.duo_scaling = options.flag("duo_scaling");
  }

  std::vector<BlockReport> transform(BlockProblem problem) const override {
    return fold_stages(
        problem, {std::begin(kStages), std::end(kStages)},
        [&](const ScaleFold& fold, const InputStatistics& inputs,
            const std::vector<Matrix>& weights) { return find_scales(fold, inputs, weights); });
  }

 private:
  FoundScales find_scales(const ScaleFold& fold, const InputStatistics& inputs,
                          const std::vector<Matrix>& weights) const {
    for (const Matrix& weight : weights) check_width("the weight", weight.cols(), search_.scheme);
    const AwqScales found =
        search_awq_scales(search_, weights, inputs, fold.channel_of_input, fold.channels());
    if (found.scales.size() == 0) return {{}, "no scale lowers the error of rounding"};
    return {found.scales, fmt::format("ratio {:.4g}, error {:.4g} of that without", found.ratio,
                                      found.error / found.unscaled)};
  }

  AwqSearch search_;
};

// Rounding with clipped grids.
class AwqRounding : public LinearMethod {
 public:
  AwqRounding(const MethodOptions& options, const MethodContext& context)
      : scheme_(parse_scheme(options, context)),
        grid_(parse_grid(options, scheme_)),
        clip_search_(options.flag("clip_search")) {
    if (!clip_search_) return;
    if (scheme_.strategy == QuantizationStrategy::tensor) {
      throw bad_usage("option clip_search: needs strategy group or channel; switch it off");
    }
    if (options.given("clip") && grid_.clip == Clip::mse) {
      throw bad_usage("option clip: says nothing while clip_search is on; leave one of them out");
    }
  }

  bool quantizes() const override { return true; }

  StatisticsNeeds needs() const override { return scheme_needs(scheme_); }

  void check(const std::string& name, std::int64_t /*rows*/, std::int64_t columns) const override {
    check_width(name, columns, scheme_);
  }

  LinearResult compress(LinearProblem problem) const override {
    check_weight(problem, scheme_);
    QuantizedMatrix result = round(problem);
    set_input_grid(problem, result);
    return result;
  }

 private:
  QuantizedMatrix round(const LinearProblem& problem) const {
    if (!clip_search_ || meets_other_outputs(problem.role)) {
      return round_to_nearest(scheme_, grid_, problem.weight);
    }
    if (problem.inputs == nullptr) {
      throw failure("{}: awq needs second moments of the inputs", problem.name);
    }
    const SecondMoments& moments = problem.inputs->moments();
    if (moments.columns() != problem.weight.cols()) {
      throw failure("{}: second moments of {} inputs found where the weight has {}", problem.name,
                    moments.columns(), problem.weight.cols());
    }
    return round_with_clip_search(scheme_, grid_, problem.weight, moments);
  }

  // Queries and keys are multiplied with each other: their own error is not what counts. The
  // published code does not clip them.
  static bool meets_other_outputs(const std::optional<LinearRole>& role) {
    return role == LinearRole::q_proj || role == LinearRole::k_proj;
  }

  QuantizationScheme scheme_;
  GridOptions grid_;
  bool clip_search_;
};

const LinearMethodRegistration kRegistration(
    {"awq", "quantize",
     "Scale up the weights that meet large activations, clip, then round to the nearest point",
     "Lin, Tang, Tang, Yang, Chen, Wang, Xiao, Dang, Gan, Han: AWQ, MLSys 2024 (arXiv:2306.00978)",
     MethodScope::block, MethodNeed::input_second_moments,
     with_scheme_options({
         {"n_grid",
          std::int64_t{20},
          "Exponents of the activations to try, from 0 up",
          {},
          1,
          1000},
         {"duo_scaling", false, "Divide scales by a power of the weights' sizes too"},
         {"clip_search", true, "Clip each group where that lowers the error of the output"},
     })},
    [](const MethodOptions& options, const MethodContext& context) {
      return std::make_unique<AwqRounding>(options, context);
    });

const BlockMethodRegistration kBlockRegistration("awq", [](const MethodOptions& options,
                                                           const MethodContext& context) {
  return std::make_unique<AwqScaling>(options, context);
});

}  // namespace
}  // namespace terse
