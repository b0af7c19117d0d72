// What a teacher predicts, for every token of the text (Hinton et al., arXiv 1503.02531).
#include "terse/train/methods/learning_method.h"
#include "terse/train/methods/teacher_objective.h"

namespace terse::train {
namespace {

class Distill : public LearningMethod {
 public:
  TrainingChoice choice(const LearningProblem& problem,
                        const torch::Device& device) const override {
    return {[&problem, device](std::int64_t block, const LinearKey& key, const Linear& linear) {
      return as_stored(problem, block, key, linear, device);
    }};
  }

  std::unique_ptr<Objective> objective(const LearningProblem& problem,
                                       const torch::Device& device) const override {
    const Divergence divergence{parse_divergence(problem.options.text("divergence")),
                                problem.options.number("skew"),
                                problem.options.number("temperature")};
    return teacher_objective(problem, divergence, problem.options.number("distill_weight"), device);
  }
};

const LearningMethodEntry<Distill> distill_entry("distill");

}  // namespace
}  // namespace terse::train
