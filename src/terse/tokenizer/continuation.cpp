#include "terse/tokenizer/continuation.h"

#include <algorithm>
#include <array>

namespace terse {

ContinuationDecoder::ContinuationDecoder(const Tokenizer& tokenizer,
                                         std::span<const std::int32_t> prompt)
    : decoder_(tokenizer), of_prompt_(tokenizer.decode(prompt).size()) {
  for (const std::int32_t id : prompt) behind_prompt(decoder_.push(id));
}

std::string ContinuationDecoder::behind_prompt(std::string text) {
  const std::size_t hidden = std::min(of_prompt_, text.size());
  of_prompt_ -= hidden;
  text.erase(0, hidden);
  return text;
}

std::string StoppedContinuation::finish() {
  std::string text = stop_strings_.push(decoder_.finish());
  return text + stop_strings_.finish();
}

std::string token_text(const Tokenizer& tokenizer, std::int32_t id) {
  const std::array<std::int32_t, 2> twice{id, id};
  const std::string alone = tokenizer.decode(std::span(twice).first(1), false);
  const std::string both = tokenizer.decode(twice, false);
  return both.substr(std::min(alone.size(), both.size()));
}

std::string decode_continuation(const Tokenizer& tokenizer, std::span<const std::int32_t> prompt,
                                std::span<const std::int32_t> ids) {
  ContinuationDecoder decoder(tokenizer, prompt);
  std::string text;
  for (const std::int32_t id : ids) text += decoder.push(id);
  return text + decoder.finish();
}

}  // namespace terse
