// LoRA: the facts. The work is done in train/methods/lora.cpp.
#include "terse/core/error.h"
#include "terse/methods/learn/lora_start.h"
#include "terse/methods/learning_rules.h"
#include "terse/methods/training.h"

namespace terse {
namespace {

void check_saved(const LearnedLinear& linear) {
  if (!linear.pruned) return;
  throw bad_usage(
      "save_adapter: {} is pruned, and PEFT's format cannot say that zeros stay zero; leave it out",
      linear.module);
}

void check_whole(const LearnedLinear& linear) {
  if (!linear.apart) return;
  throw bad_usage(
      "{} is stored as several matrices, which lora would multiply out; train them by finetune or "
      "distill, or let lora come first",
      linear.module);
}

void check_quantized(const LearnedLinear& linear) {
  if (linear.pruned) {
    throw bad_usage(
        "init_lora_weights: loftq: {} is pruned, and zeros that stay zero keep no low rank; use "
        "init_lora_weights: default",
        linear.module);
  }
  if (linear.coded) return;
  throw bad_usage("init_lora_weights: loftq: {} is not quantised; let a quantising step come first",
                  linear.module);
}

// Steps that change weights before they are rounded, or after, leave integers that are not those of
// the input's weights. Those that prune some linears leave the others alone.
void check_input_tells(const std::vector<const MethodInfo*>& before) {
  for (const MethodInfo* info : before) {
    if (only_rounds(*info) || (info->scope == MethodScope::linear && !learns(*info))) continue;
    throw bad_usage(
        "init_lora_weights: loftq after {}: it changes more than rounding does, so that the "
        "recipe's input does not tell what rounding lost; use init_lora_weights: default",
        info->name);
  }
}

class LoraRules : public LearningRules {
 public:
  bool saves_adapter(const MethodOptions& options) const override {
    return options.flag("save_adapter");
  }

  std::vector<std::filesystem::path> files(const MethodOptions& options) const override {
    const std::filesystem::path folder = options.text("adapter");
    if (folder.empty()) return {};
    return {folder / PeftAdapter::kConfig, folder / PeftAdapter::kTensors};
  }

  void check(const LearningStep& step) const override {
    const LoraStart start = lora_start(step.options, step.model);
    for (const auto& entry : start.adapters) {
      if (step.is_aimed_at(entry.first)) continue;
      throw bad_usage("adapter {}: is for {} too, at which the step is not aimed",
                      step.options.text("adapter"), entry.first);
    }
    const bool loftq = step.options.text("init_lora_weights") == "loftq";
    if (loftq) check_input_tells(step.before);
    for (const LearnedLinear& linear : step.linears) {
      check_whole(linear);
      if (saves_adapter(step.options)) check_saved(linear);
      if (loftq) check_quantized(linear);
    }
  }
};

const LearningMethodRegistration registration(
    {"lora", "learn", "Train low-rank adapters over weights that stay as they are",
     "Hu, Shen, Wallis, Allen-Zhu, Li, Wang, Wang, Chen: LoRA: Low-Rank Adaptation of Large "
     "Language Models, ICLR 2022 (arXiv:2106.09685)",
     MethodScope::model, MethodNeed::gradients,
     with_training_options(
         1e-3,
         {{"r", std::int64_t{16}, "Rank of the adapters", {}, 1, 4096, true},
          {"lora_alpha", 32.0, "Adapters are scaled by lora_alpha / r", {}, 0, 1e6, true},
          {"use_rslora", false, "Scale by lora_alpha / sqrt(r)", {}, -1e300, 1e300, true},
          {"use_dora", false, "Train the lengths of rows too (DoRA)", {}, -1e300, 1e300, true},
          {"merge",
           false,
           "Put adapters over integers into dense weights; into others they always are",
           {},
           -1e300,
           1e300,
           true},
          {"init_lora_weights",
           std::string("default"),
           "How adapters begin: as no change, or as what quantisation lost (LoftQ)",
           {"default", "loftq"},
           -1e300,
           1e300,
           true},
          {"loftq_iter",
           std::int64_t{1},
           "Iterations of LoftQ; from the second on integers are rounded anew",
           {},
           1,
           100,
           true},
          {"adapter",
           std::string(),
           "Folder with an adapter in PEFT's format to go on from",
           {},
           -1e300,
           1e300,
           true},
          {"save_adapter",
           false,
           "Write the adapters in PEFT's format too, to adapter/ in the output",
           {},
           -1e300,
           1e300,
           true}})},
    std::make_unique<LoraRules>());

}  // namespace
}  // namespace terse
