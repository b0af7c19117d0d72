// The recipe that makes a model as small as asked for and keeps most of it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "terse/core/progress.h"
#include "terse/eval/scored_text.h"
#include "terse/recipe/calibration.h"
#include "terse/search/candidates.h"

namespace terse {

struct SearchTask {
  std::filesystem::path input;   ///< Model directory, not compressed.
  std::filesystem::path output;  ///< Recipe to write.
  CalibrationSettings calibration;
  /// What divergence is measured on; text that the model writes itself where none is given.
  ScoredText text;
  std::int64_t samples = 64;         ///< Windows that candidates are measured on,
  std::int64_t measured_samples = 16;  ///< and single choices.

  /// One of the three: least divergence within a size, or least size within a divergence.
  std::optional<double> target_bits_per_weight;  ///< Over the whole model.
  std::optional<std::uint64_t> target_bytes;     ///< Of all tensors.
  std::optional<double> max_kl;                  ///< Nats per token.

  std::vector<std::string> kinds;  ///< Of choices; empty: all.
  bool learned_rounding = true;    ///< Try AutoRound in place of GPTQ, where it is installed.
  std::int64_t rounds = 3;         ///< Of measuring again around the best recipe.
  double time_limit = 0;           ///< Seconds; 0: none.
  std::filesystem::path measurements;  ///< Kept for other searches; empty: beside the recipe, and
                                       ///< removed when it is there.
  bool force = false;    ///< Replace a recipe that exists.
  bool restart = false;  ///< Forget what was measured.
};

struct SearchReport {
  std::vector<Candidate> candidates;  ///< In the order in which they were made.
  std::size_t best = 0;               ///< The one whose recipe was written.
  std::int64_t parameters = 0;
  std::uint64_t dense_bytes = 0;
  std::int64_t units = 0;
  std::int64_t measured = 0;  ///< Choices, and
  std::int64_t resumed = 0;   ///< those of them that an earlier run had measured.
  std::vector<std::string> notes;
};

/// Searches, and writes the recipe. What was measured survives whatever ends the process: the same
/// call goes on there, and without a time limit ends with the same bytes. Errors: bad_usage for
/// targets that cannot be reached (says the nearest) and for a time limit in which nothing can be
/// measured; bad_input; failed.
SearchReport search(const SearchTask& task, Progress& progress);

}  // namespace terse
