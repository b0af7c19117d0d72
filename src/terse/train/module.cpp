// The door of the training module.
#include "terse/methods/training.h"
#include "terse/train/importance/importance_run.h"
#include "terse/train/methods/cached_teacher.h"
#include "terse/train/methods/learning_method.h"
#include "terse/train/methods/reconstruction_method.h"
#include "terse/train/train_run.h"

namespace terse::train {
namespace {

class Module : public TrainingModule {
 public:
  TrainingReport train(const TrainingTask& task, Progress& progress) override {
    return run_training(task, progress);
  }

  void cache_teacher(const TeacherTask& task, Progress& progress) override {
    train::cache_teacher(task, progress);
  }

  LearnedModel learn(const LearningProblem& problem, Progress& progress) override {
    return run_learning(problem, progress);
  }

  std::map<LinearKey, QuantizedMatrix> reconstruct(const ReconstructionProblem& problem,
                                                   Progress& progress) override {
    return MethodTable<ReconstructionMethod>::instance()
        .find(problem.info.name)
        .reconstruct(problem, progress);
  }

  ImportanceReport score(const ImportanceTask& task, Progress& progress) override {
    return run_importance(task, progress);
  }
};

}  // namespace
}  // namespace terse::train

extern "C" terse::TrainingModule* terse_training_module() {
  static terse::train::Module module;
  return &module;
}
