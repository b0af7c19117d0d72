#include "terse/train/methods/teacher_objective.h"

#include "terse/core/error.h"
#include "terse/train/loop/trainer.h"
#include "terse/train/losses/distillation.h"

namespace terse::train {
namespace {

// The teacher's hidden states of a batch are kept, its logits are made for the rows of a chunk.
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

}  // namespace

std::unique_ptr<Objective> teacher_objective(const LearningProblem& problem, Divergence divergence,
                                             double weight, const torch::Device& device) {
  const std::int64_t words = problem.model.architecture().vocab_size;
  const std::int64_t teachers = problem.teacher().architecture().vocab_size;
  if (words != teachers) {
    throw bad_input("the teacher's vocabulary has {} tokens, the student's {}", teachers, words);
  }
  return std::make_unique<TeacherObjective>(problem.teacher(), divergence, weight, device);
}

}  // namespace terse::train
