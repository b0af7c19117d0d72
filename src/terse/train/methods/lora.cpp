// Low-rank adapters (Hu et al., arXiv 2106.09685).
#include "terse/train/parametrisations/lora.h"

#include "terse/train/methods/learning_method.h"
#include "terse/train/parametrisations/dense.h"

namespace terse::train {
namespace {

class LoraMethod : public LearningMethod {
 public:
  TrainingChoice choice(const LearningProblem& problem,
                        const torch::Device& device) const override {
    const MethodOptions& options = problem.options;
    const LoraSettings settings{options.integer("r"), options.number("lora_alpha"),
                                options.flag("use_rslora"), options.flag("use_dora")};
    return {[&problem, settings, device](std::int64_t block, LinearRole role,
                                         const Linear& linear) -> std::unique_ptr<Parametrisation> {
              if (!problem.chosen(block, role)) {
                return fixed_parametrisation(linear.weight, device);
              }
              const std::uint64_t seed =
                  static_cast<std::uint64_t>(problem.options.integer("data_seed") * 1000003 +
                                             block * 101 + static_cast<std::int64_t>(role));
              return lora_parametrisation(
                  linear.weight, settings,
                  fresh_factors(linear.weight->rows(), linear.weight->columns(), settings.r, seed),
                  problem.pruned(block, role), problem.options.flag("merge"), device);
            },
            false, false};
  }
};

const LearningMethodEntry<LoraMethod> entry("lora");

}  // namespace
}  // namespace terse::train
