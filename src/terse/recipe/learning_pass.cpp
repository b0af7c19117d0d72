#include "terse/recipe/learning_pass.h"

#include <memory>
#include <optional>
#include <utility>

#include "terse/methods/learn/teacher_match.h"
#include "terse/recipe/identity.h"
#include "terse/recipe/learning_steps.h"

namespace terse {
namespace {

Model headers_of(const Checkpoint& checkpoint) {
  return Model(std::make_shared<const Checkpoint>(checkpoint));
}

// A model in memory from when it is first asked for.
class LoadedModel {
 public:
  explicit LoadedModel(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  const Model& operator()() {
    if (!model_) {
      model_.emplace(headers_of(checkpoint_));
      model_->load_unprepared();
    }
    return *model_;
  }

 private:
  const Checkpoint& checkpoint_;
  std::optional<Model> model_;
};

}  // namespace

LearningPasses::LearningPasses(const Recipe& recipe, Checkpoint input)
    : recipe_(recipe), input_(std::move(input)), teacher_(input_) {
  if (!recipe.training.teacher.empty()) teacher_ = Checkpoint::open(recipe.training.teacher);
}

void LearningPasses::check_teacher(const Model& student) const {
  if (!recipe_.training.teacher.empty()) require_match(headers_of(teacher_), student);
}

void LearningPasses::cache_teacher(const Model& student, const RecipeStep& step,
                                   const std::filesystem::path& folder, Progress& progress) {
  const RecipeTraining& training = recipe_.training;
  // The student's, whatever the teacher's context is.
  const std::int64_t window =
      training.window > 0 ? training.window : student.architecture().default_window();
  cached_ = {training.teacher_outputs, training.teacher_top_k, model_digests(teacher_)};
  const Model headers = headers_of(teacher_);
  LoadedModel teacher(teacher_);
  training_module().cache_teacher(
      {headers.architecture(), [&]() -> const Model& { return teacher(); }, cached_, training.text,
       input_.dir(), window, folder, options_of(step).text("device")},
      progress);
}

LearnedModel LearningPasses::run(std::size_t index, const RecipeStep& step,
                                 const Schedule& schedule, const Model& model,
                                 const std::filesystem::path& folder,
                                 const std::function<void()>& kept, Progress& progress) const {
  LoadedModel input(input_);
  LoadedModel teacher(teacher_);
  const MethodOptions options = options_of(step);
  return training_module().learn(
      {MethodRegistry::instance().find(step.method), options, model,
       [&]() -> const Model& { return input(); }, [&]() -> const Model& { return teacher(); },
       [&](std::int64_t block, const LinearKey& key) { return schedule.chosen(0, block, key); },
       [&](std::int64_t block, const LinearKey& key) { return schedule.pruned_before(block, key); },
       recipe_.training.text, recipe_.training.window, folder, kept, cached_,
       is_input_rounded(recipe_, index)},
      progress);
}

}  // namespace terse
