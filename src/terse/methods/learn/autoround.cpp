// AutoRound: the facts, and what it begins with. The work is done in train/methods/autoround.cpp.
#include "terse/methods/quantize/nearest.h"
#include "terse/methods/quantize/scheme_options.h"

namespace terse {
namespace {

const LinearMethodRegistration registration(
    {"autoround", "quantize",
     "Learn which way to round each weight, and the range of each grid, block by block",
     "Cheng, Zhang, Shen, Cai, He, Lv, Liu: Optimize Weight Rounding via Signed Gradient Descent "
     "for the Quantization of LLMs, EMNLP 2024 Findings (arXiv:2309.05516)",
     MethodScope::block, MethodNeed::block_inputs_outputs,
     with_scheme_options(
         {{"iters", std::int64_t{200}, "Steps of training of each block", {}, 0, 1e6, true},
          {"lr", 0.0, "First step of the roundings; 0: 1 / iters", {}, 0, 1, true},
          {"minmax_lr", 0.0, "First step of the ranges; 0: that of the roundings", {}, 0, 1, true},
          {"batch_size", std::int64_t{8}, "Calibration windows of a step", {}, 1, 4096, true},
          {"data_seed", std::int64_t{0}, "Seed of the order of the windows", {}, 0, 1e15, true},
          {"device", "cpu", "Where to compute, as libtorch names it", {}, -1e300, 1e300, true}})},
    make_round_to_nearest);

}  // namespace
}  // namespace terse
