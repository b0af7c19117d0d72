// The passes of a recipe that learn: what they are handed, and their teacher.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>

#include "terse/core/progress.h"
#include "terse/methods/training.h"
#include "terse/recipe/recipe.h"
#include "terse/recipe/schedule.h"

namespace terse {

class LearningPasses {
 public:
  /// `input` is the recipe's input. Opens the teacher that the recipe names; the recipe must
  /// outlive this. Errors: bad_input for a teacher that cannot be read.
  LearningPasses(const Recipe& recipe, Checkpoint input);

  /// Errors: bad_input when the recipe's teacher does not predict the student's tokens.
  void check_teacher(const Model& student) const;

  /// Whether the recipe wants the teacher's outputs in a file.
  bool caches_teacher() const { return !recipe_.training.teacher_outputs.empty(); }

  /// Writes what the teacher predicts for `student`, which `step` trains in `folder`, or finds that
  /// the file is there and fits. The teacher alone is in memory. Errors: as
  /// TrainingModule::cache_teacher.
  void cache_teacher(const Model& student, const RecipeStep& step,
                     const std::filesystem::path& folder, Progress& progress);

  /// Runs pass `index`, the step of `schedule`, on a model whose blocks are loaded. `folder` takes
  /// what a run that was killed goes on from, `kept` is called when it does. Errors: as
  /// TrainingModule::learn.
  LearnedModel run(std::size_t index, const RecipeStep& step, const Schedule& schedule,
                   const Model& model, const std::filesystem::path& folder,
                   const std::function<void()>& kept, Progress& progress) const;

 private:
  const Recipe& recipe_;
  Checkpoint input_;
  Checkpoint teacher_;
  CachedTeacher cached_;
};

}  // namespace terse
