// What a teacher predicts, for every token of the text (Hinton et al., arXiv 1503.02531).
#include "terse/core/error.h"
#include "terse/train/loop/trainer.h"
#include "terse/train/losses/distillation.h"
#include "terse/train/methods/learning_method.h"

namespace terse::train {
namespace {

// Teacher and student in one process: the teacher's hidden states of a batch are kept, its logits
// are made for the rows of a chunk.
class TeacherObjective : public Objective {
 public:
  TeacherObjective(const Model& teacher, Divergence divergence, double weight,
                   const torch::Device& device)
      : teacher_(teacher, train_nothing(device), device),
        divergence_(divergence),
        weight_(weight) {}

  std::unique_ptr<RowLoss> loss(const TokenBatch& batch) override {
    const torch::NoGradGuard no_grad;
    const torch::Tensor hidden = hidden_states(teacher_, batch.ids, false);
    const auto probabilities = [this, hidden](std::int64_t first, std::int64_t rows,
                                              double temperature) {
      const torch::Tensor logits = torch::linear(hidden.narrow(0, first, rows),
                                                 teacher_.head().weight(), teacher_.head_bias());
      return (logits / temperature).softmax(1);
    };
    return std::make_unique<Distillation>(divergence_, weight_, probabilities, batch.targets);
  }

 private:
  TrainableModel teacher_;
  Divergence divergence_;
  double weight_;
};

class Distill : public LearningMethod {
 public:
  TrainingChoice choice(const LearningProblem& problem,
                        const torch::Device& device) const override {
    return {[&problem, device](std::int64_t block, LinearRole role, const Linear& linear) {
      return as_stored(problem, block, role, linear, device);
    }};
  }

  std::unique_ptr<Objective> objective(const LearningProblem& problem,
                                       const torch::Device& device) const override {
    const std::int64_t words = problem.model.architecture().vocab_size;
    const std::int64_t teachers = problem.teacher->architecture().vocab_size;
    if (words != teachers) {
      throw bad_input("the teacher's vocabulary has {} tokens, the student's {}", teachers, words);
    }
    const Divergence divergence{parse_divergence(problem.options.text("divergence")),
                                problem.options.number("skew"),
                                problem.options.number("temperature")};
    return std::make_unique<TeacherObjective>(*problem.teacher, divergence,
                                              problem.options.number("distill_weight"), device);
  }
};

const LearningMethodEntry<Distill> entry("distill");

}  // namespace
}  // namespace terse::train
