// LoRA: the facts. The work is done in train/methods/lora.cpp.
#include "terse/methods/training.h"

namespace terse {
namespace {

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
           true}})});

}  // namespace
}  // namespace terse
