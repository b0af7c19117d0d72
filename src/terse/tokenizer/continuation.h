// Text that a model writes behind a prompt.
#pragma once

#include <cstdint>
#include <span>
#include <string>

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

/// All of a continuation at once.
std::string decode_continuation(const Tokenizer& tokenizer, std::span<const std::int32_t> prompt,
                                std::span<const std::int32_t> ids);

}  // namespace terse
