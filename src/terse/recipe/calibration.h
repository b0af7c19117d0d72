// The tokens that calibration statistics are taken from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "terse/core/progress.h"
#include "terse/model/model.h"

namespace terse {

/// Where calibration tokens come from: files of text, a file of token ids, or (neither given) the
/// model itself.
struct CalibrationSettings {
  std::vector<std::filesystem::path> texts;
  std::string text_key = "text";  ///< Of .jsonl lines.
  std::filesystem::path token_file;
  std::int64_t samples = 128;  ///< Windows (GPTQ, section 4: 128 of 2048 tokens).
  std::int64_t window = 0;     ///< Tokens of each; 0 is the model's context, up to 2048.
  std::uint64_t seed = 0;

  bool self_generated() const { return texts.empty() && token_file.empty(); }
};

/// Windows of one length.
struct CalibrationTokens {
  std::int64_t window = 0;
  std::vector<std::vector<std::int32_t>> windows;
  std::string source;  ///< For the report: "text", "token ids", "self-generated".

  std::int64_t tokens() const { return window * static_cast<std::int64_t>(windows.size()); }
};

/// Tokens that a run is calibrated on; none when it is not.
struct CalibrationSize {
  std::int64_t tokens = 0;
  std::int64_t window = 0;
  bool self_generated = false;
};

/// Sequences that self-generated calibration writes at a time.
std::int64_t generated_together(const Architecture& a, std::int64_t window);

/// What `calibration_tokens` will give, without reading text or generating any: texts are taken to
/// be long enough. Errors: as calibration_tokens.
CalibrationSize expected_calibration(const CalibrationSettings& settings, const Architecture& a);

/// Draws `samples` windows at random places of the text, takes the first ones of a file of ids, or
/// samples them from the model at temperature 1 (its blocks are loaded and freed again). Errors:
/// bad_input when the text is shorter than one window.
CalibrationTokens calibration_tokens(const CalibrationSettings& settings, Model& model,
                                     Progress& progress);

/// Errors: bad_input when tokens that were read from a file are not of the model.
void check_tokens(const CalibrationTokens& tokens, const Model& model);

}  // namespace terse
