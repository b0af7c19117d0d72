// Recipes that are really carried out and measured.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "terse/core/progress.h"
#include "terse/eval/statistics.h"
#include "terse/eval/windows.h"
#include "terse/model/model.h"
#include "terse/recipe/recipe.h"
#include "terse/search/measurements.h"
#include "terse/search/usage.h"

namespace terse {

/// What a recipe made.
struct Candidate {
  std::string name;        ///< How it was found: "estimate", "learned rounding".
  double expected_kl = 0;  ///< The sum of what was measured of its choices.
  Recipe recipe;           ///< Without calibration tokens.
  Sizes sizes;
  double token_seconds = 0;       ///< Of a token that it writes; 0: not measured.
  double bits_per_weight = 0;     ///< What is stored, for each weight of the dense model.
  Estimate kl;                    ///< KL(dense || made) per position, in nats.
  std::vector<double> window_kl;  ///< Its sum over each window.
};

/// Makes models of recipes in a folder, measures them, and removes them.
class CandidateRuns {
 public:
  /// `calibration` is what all are calibrated on, `windows` what they are measured on; their speed
  /// is measured where they are `timed`. All must outlive this.
  CandidateRuns(const Model& model, const Windows& windows, CalibrationSettings calibration,
                bool timed, std::filesystem::path folder, Measurements& measurements,
                Progress& progress);

  /// A recipe that was made before is not made again. Errors: as compress().
  Candidate run(const std::string& name, double expected_kl, const Recipe& recipe);

 private:
  Recipe calibrated(Recipe recipe) const;
  std::string key_of(const Recipe& recipe) const;
  Json measure(const Recipe& recipe) const;
  Candidate parse(const std::string& name, double expected_kl, const Recipe& recipe,
                  const Json& found) const;

  const Model& model_;
  const Windows& windows_;
  CalibrationSettings calibration_;
  bool timed_;
  std::filesystem::path folder_;
  Measurements& measurements_;
  Progress& progress_;
  std::vector<double> positions_;
  std::int64_t parameters_;
};

}  // namespace terse
