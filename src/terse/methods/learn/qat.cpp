// Quantisation-aware training: the facts. The work is done in train/methods/qat.cpp.
#include "terse/methods/quantize/scheme_options.h"
#include "terse/methods/training.h"

namespace terse {
namespace {

// Static inputs would need a walk of calibration before training. Grids of least error begin
// better than those of all values (docs/methods/qat.md).
std::vector<MethodOption> scheme_options() {
  std::vector<MethodOption> options = with_scheme_options(
      {{"ternary", false, "Weights of -1, 0 and 1 times a scale (BitNet b1.58); bits 2, symmetric"},
       {"teacher", false,
        "Learn what the recipe's input predicts instead of the text's own tokens"}});
  for (MethodOption& option : options) {
    option.whole_step = true;
    if (option.name == "activations") option.choices = {"none", "dynamic"};
    if (option.name == "clip") option.default_value = std::string("mse");
  }
  return options;
}

const LearningMethodRegistration registration(
    {"qat", "quantize", "Train weights through the grid that they are stored on",
     "Esser, McKinstry, Bablani, Appuswamy, Modha: Learned Step Size Quantization, ICLR 2020 "
     "(arXiv:1902.08153)",
     MethodScope::model, MethodNeed::gradients, with_training_options(3e-4, scheme_options())},
    [](const MethodOptions& options) { return options.flag("teacher"); });

}  // namespace
}  // namespace terse
