// Quantisation-aware training: the facts. The work is done in train/methods/qat.cpp.
#include "terse/core/error.h"
#include "terse/methods/learning_rules.h"
#include "terse/methods/quantize/scheme_options.h"
#include "terse/methods/training.h"

namespace terse {
namespace {

// Static inputs would need a walk of calibration before training. Grids of least error begin
// better than those of all values (docs/methods/qat.md).
std::vector<MethodOption> scheme_options() {
  std::vector<MethodOption> options = with_scheme_options(
      {{"ternary", false, "Weights of -1, 0 and 1 times a scale (BitNet b1.58); bits 2, symmetric"},
       {"distill_weight",
        0.0,
        "Of the divergence from what the recipe's input predicts; the rest is the text's own "
        "tokens",
        {},
        0,
        1}});
  for (MethodOption& option : options) {
    option.whole_step = true;
    if (option.name == "activations") option.choices = {"none", "dynamic"};
    if (option.name == "clip") option.default_value = std::string("mse");
  }
  return options;
}

class QatRules : public LearningRules {
 public:
  bool from_teacher(const MethodOptions& options) const override {
    return options.number("distill_weight") > 0;
  }

  void check(const LearningStep& step) const override {
    const QuantizationScheme scheme = parse_scheme(step.options, {step.model.dtype()});
    if (step.options.flag("ternary") && (scheme.bits != 2 || !scheme.symmetric)) {
      throw bad_usage("ternary weights have bits 2 and symmetric true");
    }
    for (const LearnedLinear& linear : step.linears) {
      check_width(linear.module, linear.columns, scheme);
    }
  }
};

const LearningMethodRegistration registration(
    {"qat", "quantize", "Train weights through the grid that they are stored on",
     "Esser, McKinstry, Bablani, Appuswamy, Modha: Learned Step Size Quantization, ICLR 2020 "
     "(arXiv:1902.08153)",
     MethodScope::model, MethodNeed::gradients, with_training_options(3e-4, scheme_options())},
    std::make_unique<QatRules>());

}  // namespace
}  // namespace terse
