// What a search is calibrated on, and what it measures on.
#pragma once

#include <filesystem>

#include "terse/core/progress.h"
#include "terse/eval/scored_text.h"
#include "terse/formats/checkpoint.h"
#include "terse/recipe/calibration.h"
#include "terse/search/measurements.h"

namespace terse {

struct SearchTexts {
  CalibrationTokens calibration;
  CalibrationSettings candidates;  ///< The same tokens, in a file that candidates read.
  Windows windows;                 ///< That divergence is measured on.
};

/// Reads texts, or has the model write them: other ones for measuring than for calibration. What it
/// wrote is kept in `measurements`. `samples` windows of `text` are taken. `folder` gets the file.
/// Errors: as calibration_tokens and read_windows.
SearchTexts read_search_texts(const Checkpoint& checkpoint, const CalibrationSettings& calibration,
                              const ScoredText& text, const std::filesystem::path& folder,
                              Measurements& measurements, Progress& progress);

}  // namespace terse
