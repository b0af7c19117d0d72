#include "terse/train/methods/teacher_objective.h"

#include <utility>

#include "terse/train/loop/trainer.h"
#include "terse/train/losses/distillation.h"
#include "terse/train/methods/cached_teacher.h"

namespace terse::train {
namespace {

// The teacher's hidden states of a batch are kept, its logits are made for the rows of a chunk.
class TeacherInProcess : public Objective {
 public:
  TeacherInProcess(const Model& teacher, Divergence divergence, double weight,
                   const torch::Device& device)
      : teacher_(teacher, train_nothing(device), device),
        divergence_(divergence),
        weight_(weight) {}

  std::unique_ptr<RowLoss> loss(const TokenBatch& batch) override {
    const torch::NoGradGuard no_grad;
    const torch::Tensor hidden = hidden_states(teacher_, batch.ids, false);
    const auto from_teacher = [this, hidden](std::int64_t first, const torch::Tensor& logits) {
      const torch::Tensor teachers = teacher_.logits(hidden.narrow(0, first, logits.size(0)));
      return row_divergence(divergence_, (teachers / divergence_.temperature).softmax(1), logits);
    };
    return std::make_unique<Distillation>(weight_, from_teacher, batch.targets);
  }

 private:
  TrainableModel teacher_;
  Divergence divergence_;
  double weight_;
};

class TeacherInFile : public Objective {
 public:
  TeacherInFile(TeacherOutputs outputs, Divergence divergence, double weight)
      : outputs_(std::move(outputs)), divergence_(divergence), weight_(weight) {}

  std::unique_ptr<RowLoss> loss(const TokenBatch& batch) override {
    const auto from_teacher = [this, batch](std::int64_t first, const torch::Tensor& logits) {
      return top_k_divergence(divergence_, teacher_rows(outputs_, batch, first, logits.size(0)),
                              logits);
    };
    return std::make_unique<Distillation>(weight_, from_teacher, batch.targets);
  }

 private:
  TeacherOutputs outputs_;
  Divergence divergence_;
  double weight_;
};

}  // namespace

std::unique_ptr<Objective> teacher_objective(const LearningProblem& problem, Divergence divergence,
                                             double weight, const torch::Device& device) {
  if (!problem.cached_teacher.file.empty()) {
    return std::make_unique<TeacherInFile>(open_teacher_outputs(problem), divergence, weight);
  }
  return std::make_unique<TeacherInProcess>(problem.teacher(), divergence, weight, device);
}

}  // namespace terse::train
