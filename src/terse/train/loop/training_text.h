// The text that training reads, packed and cut in windows.
#pragma once

#include <filesystem>

#include "terse/methods/training.h"
#include "terse/train/loop/packed_tokens.h"

namespace terse::train {

/// The window that was asked for, or for 0 the model's own. Errors: bad_usage when it does not fit
/// the context.
std::int64_t training_window(std::int64_t asked, const Architecture& architecture);

/// Packs `text` in `file`, unless an earlier process did: with the tokenizer of `model`, or ids as
/// they are given. Errors: bad_input.
PackedTokens packed_text(const TrainingText& text, const std::filesystem::path& model,
                         std::int64_t vocab_size, std::int64_t window,
                         const std::filesystem::path& file);

/// The text of a step of a recipe, packed in its folder, in windows as `training_window` says.
PackedTokens packed_text_of_step(const TrainingText& text, const std::filesystem::path& model,
                                 const Architecture& architecture, std::int64_t window,
                                 const std::filesystem::path& folder);

}  // namespace terse::train
