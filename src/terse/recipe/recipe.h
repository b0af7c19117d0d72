// A recipe: what is to happen to a model, as data. recipe_text.h reads one, compress.h runs it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "terse/core/json.h"
#include "terse/methods/training.h"
#include "terse/recipe/calibration.h"

namespace terse {

/// One option of a step: the same for every linear, or by selector (selector.h), of which the last
/// one that matches a linear counts.
struct StepOption {
  std::string value;  ///< As text; empty in a table without `default`.
  std::vector<std::pair<std::string, std::string>> table;  ///< Selector, value.

  bool operator==(const StepOption&) const = default;
};

/// A method with its options, and the linears that it is for.
struct RecipeStep {
  std::string method;
  std::map<std::string, StepOption> options;
  std::vector<std::string> targets;  ///< Selectors; empty: every linear of the blocks.
  std::vector<std::string> ignore;   ///< Selectors of linears to leave out.
  /// Activations are measured again before this step, through the model as the steps before left
  /// it: the model is walked once more.
  bool remeasure = false;

  bool operator==(const RecipeStep&) const = default;
};

/// How sparse weights are stored: in the smallest layout that holds them exactly, or with their
/// zeros, for programs that read no sparse layout.
enum class SparseStorage { smallest, dense };

struct OutputSettings {
  int embeddings_bits = 0;  ///< Of embedding and head, group-wise; 0 leaves them.
  bool dequantize = false;  ///< Dense weights in the original type, whatever was done to them.
  bool pad = false;         ///< Blocks of different shapes get zeros, so that all have one.
  bool expand = false;      ///< Weights that blocks share are written for each of them.
  SparseStorage sparse = SparseStorage::smallest;

  bool operator==(const OutputSettings&) const = default;
};

/// What steps that learn read.
struct RecipeTraining {
  TrainingText text;
  std::int64_t window = 0;  ///< Tokens that are predicted at a time; 0: the context, up to 2048.
  std::filesystem::path teacher = {};          ///< Model directory; empty: the recipe's input.
  std::filesystem::path teacher_outputs = {};  ///< As CachedTeacher's file; may be empty.
  std::int64_t teacher_top_k = 0;              ///< As CachedTeacher's.
};

struct Recipe {
  CalibrationSettings calibration;
  RecipeTraining training;
  std::filesystem::path importance;  ///< Scores that `terse importance` made; empty: none.
  std::vector<RecipeStep> steps;
  bool true_sequential = true;  ///< Statistics of a stage see the stages before it compressed.
  OutputSettings output;
};

/// Every field, defaults of methods included, in one form: what two runs compare (difference.h).
/// Options stand beside the other keys of their step, as in a recipe's text; one that depends on
/// the linear is {"default": …, "table": [{"selector": …, "value": …}, …]}. Errors: as
/// check_recipe.
Json to_json(const Recipe& recipe);

/// Options of a step as they are for linears that no table names.
std::map<std::string, std::string> plain_options(const RecipeStep& step);

/// The same with the defaults of the method, checked. Errors: bad_usage.
MethodOptions options_of(const RecipeStep& step);

}  // namespace terse
