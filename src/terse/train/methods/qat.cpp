// Weights trained through their grid: learned step sizes (Esser et al., arXiv 1902.08153), or
// ternary (Ma et al., arXiv 2402.17764).
#include "terse/core/error.h"
#include "terse/methods/quantize/scheme_options.h"
#include "terse/train/methods/learning_method.h"
#include "terse/train/methods/teacher_objective.h"
#include "terse/train/parametrisations/dense.h"
#include "terse/train/parametrisations/fake_quantized.h"
#include "terse/train/parametrisations/ternary.h"

namespace terse::train {
namespace {

class QuantisationAwareTraining : public LearningMethod {
 public:
  TrainingChoice choice(const LearningProblem& problem,
                        const torch::Device& device) const override {
    const QuantizationScheme scheme = parse_scheme(problem.options, {problem.model.dtype()});
    const Clip clip = parse_grid(problem.options, scheme).clip;
    const bool ternary = problem.options.flag("ternary");
    return {[&problem, scheme, clip, ternary, device](
                std::int64_t block, const LinearKey& key,
                const Linear& linear) -> std::unique_ptr<Parametrisation> {
      if (!problem.chosen(block, key)) return fixed_parametrisation(linear.weight, device);
      const Matrix weight = linear.weight->dense();
      const bool pruned = problem.pruned(block, key);
      return with_context(linear.module, [&] {
        return ternary ? ternary_parametrisation(weight, scheme, pruned, device)
                       : fake_quantized_parametrisation(weight, scheme, clip, pruned, device);
      });
    }};
  }

  std::unique_ptr<Objective> objective(const LearningProblem& problem,
                                       const torch::Device& device) const override {
    const double weight = problem.options.number("distill_weight");
    if (weight == 0) return language_modelling();
    return teacher_objective(problem, {}, weight, device);
  }
};

const LearningMethodEntry<QuantisationAwareTraining> qat_entry("qat");

}  // namespace
}  // namespace terse::train
