// The importance scores of a recipe, as its steps are handed them.
#pragma once

#include <filesystem>
#include <string>

#include "terse/formats/checkpoint.h"
#include "terse/formats/importance_file.h"
#include "terse/recipe/schedule.h"

namespace terse {

/// Scores of the weights of one model, read when they are asked for.
class ImportanceScores {
 public:
  /// `scored` is the model as it is before the recipe. Errors: bad_input for the file.
  ImportanceScores(const std::filesystem::path& file, Checkpoint scored);

  /// Whether the file has what the steps of a pass ask for, from its header alone. Errors:
  /// bad_input naming what is missing or of another shape; bad_usage where a step before it in the
  /// pass scales the weights that it reads Fisher information of.
  void check(const Model& model, const Schedule& schedule) const;

  /// The scores of a module's weight [out, in]. Errors: bad_input when one is not finite or below
  /// 0, and when the module was scored with another weight.
  Matrix read(const std::string& module, ImportanceScore score) const;

 private:
  ImportanceFile file_;
  Checkpoint scored_;
};

}  // namespace terse
