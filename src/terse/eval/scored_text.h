// Which text a model is scored on, as a person says it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "terse/eval/windows.h"

namespace terse {

/// Text from files and directories, or a file of token ids; and how it is cut.
struct ScoredText {
  std::vector<std::filesystem::path> texts;
  std::string text_key = "text";     ///< Of .jsonl lines.
  std::filesystem::path token_file;  ///< .npy or .json; the rows of a matrix are windows.
  std::int64_t window = 0;           ///< Tokens; 0 is Architecture::default_window().
  std::int64_t stride = 0;           ///< 0: windows side by side.
  std::int64_t samples = 0;          ///< Windows to keep, spread evenly; 0: all.
};

/// Reads and cuts the text with the tokenizer of an opened model. Errors: bad_usage when nothing is
/// to be scored or a window does not fit the model's context; bad_input for the files.
Windows read_windows(const ScoredText& text, const Model& model);

}  // namespace terse
