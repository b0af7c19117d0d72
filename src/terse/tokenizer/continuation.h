// Text that a model writes behind a prompt.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "terse/tokenizer/stop_strings.h"
#include "terse/tokenizer/tokenizer.h"

namespace terse {

/// Decodes new tokens in the light of the prompt before them: the first token of a sentencepiece
/// vocabulary keeps the space that it would lose at the beginning of a text.
class ContinuationDecoder {
 public:
  ContinuationDecoder(const Tokenizer& tokenizer, std::span<const std::int32_t> prompt);

  /// As StreamDecoder; of the prompt nothing is given.
  std::string push(std::int32_t id) { return behind_prompt(decoder_.push(id)); }
  std::string finish() { return behind_prompt(decoder_.finish()); }

 private:
  std::string behind_prompt(std::string text);

  StreamDecoder decoder_;
  std::size_t of_prompt_;  // bytes of the prompt's text that are still to come
};

/// Decodes new tokens as ContinuationDecoder does, up to a stop string.
class StoppedContinuation {
 public:
  StoppedContinuation(const Tokenizer& tokenizer, std::span<const std::int32_t> prompt,
                      std::vector<std::string> stop_strings)
      : decoder_(tokenizer, prompt), stop_strings_(std::move(stop_strings)) {}

  /// The text that is certain after one more id; nothing once a stop string was found.
  std::string push(std::int32_t id) { return stop_strings_.push(decoder_.push(id)); }
  /// The rest; nothing may follow.
  std::string finish();
  const std::optional<std::string>& found() const { return stop_strings_.found(); }

 private:
  ContinuationDecoder decoder_;
  StopStrings stop_strings_;
};

/// The text of one token as it reads within a text: " the" also where a text may not begin with
/// the space. A token that is a part of a character reads U+FFFD; special tokens read as they are
/// written. Empty where the vocabulary has no such token.
std::string token_text(const Tokenizer& tokenizer, std::int32_t id);

/// All of a continuation at once.
std::string decode_continuation(const Tokenizer& tokenizer, std::span<const std::int32_t> prompt,
                                std::span<const std::int32_t> ids);

}  // namespace terse
