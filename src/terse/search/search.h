// The recipe that makes a model as small as asked for and keeps most of it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "terse/core/progress.h"
#include "terse/eval/scored_text.h"
#include "terse/recipe/calibration.h"
#include "terse/search/candidates.h"
#include "terse/search/goal.h"

namespace terse {

struct SearchTask {
  std::filesystem::path input;   ///< Model directory, not compressed.
  std::filesystem::path output;  ///< Recipe to write.
  SearchGoal goal;
  CalibrationSettings calibration;
  /// What divergence is measured on; text that the model writes itself where none is given.
  ScoredText text;
  std::int64_t samples = 64;        ///< Windows of it; in place of the text's own number.
  std::int64_t survey_samples = 8;  ///< The windows of them that single choices are measured on.
  std::vector<std::string> kinds;   ///< Of choices (chosen_kinds).
  bool learned_rounding = true;     ///< Try AutoRound for GPTQ, where it is installed.
  double time_limit = 0;            ///< Seconds; 0: none.
  /// File of what was measured, which other searches of the same model and texts may use. Empty:
  /// beside the recipe, until that is there.
  std::filesystem::path measurements;
  bool force = false;    ///< Replace a recipe that exists.
  bool restart = false;  ///< Forget what was measured.
};

struct SearchReport {
  std::vector<Candidate> candidates;  ///< In the order in which they were made.
  std::size_t best = 0;               ///< The one whose recipe was written.
  std::int64_t parameters = 0;
  Sizes before;                     ///< Of the dense model,
  double token_seconds_before = 0;  ///< and its speed, where that is asked for.
  std::int64_t units = 0;           ///< That choices were made for.
  std::int64_t measured = 0;        ///< Choices that were measured,
  std::int64_t known = 0;           ///< and that had been by an earlier run.
  std::vector<std::string> notes;
};

/// Searches, and writes the recipe. What was measured survives whatever ends the process: the same
/// call goes on there and, without a time limit, ends with the same bytes. Errors: bad_usage for
/// goals that cannot be reached (says the nearest) and for a time limit in which nothing can be
/// measured; bad_input; failed.
SearchReport search(const SearchTask& task, Progress& progress);

}  // namespace terse
