#include "terse/model/text/text_generation.h"

#include <map>
#include <span>

#include "terse/tokenizer/continuation.h"

namespace terse {
namespace {

// Turns the tokens of prompts into texts as they come.
class Writing {
 public:
  Writing(const Tokenizer& tokenizer, std::span<const TextPrompt> prompts,
          const TextCallbacks& callbacks)
      : tokenizer_(tokenizer), prompts_(prompts), callbacks_(callbacks), results_(prompts.size()) {}

  GenerationCallbacks callbacks() {
    return {[this](std::size_t index, std::int32_t token) { return push(index, token); },
            [this](std::size_t index, const Continuation& made) { end(index, made); }};
  }
  std::vector<GeneratedText> results() { return std::move(results_); }

 private:
  StoppedContinuation& text_of(std::size_t index) {
    const TextPrompt& prompt = prompts_[index];
    return begun_.try_emplace(index, tokenizer_, prompt.prompt.tokens, prompt.stop_strings)
        .first->second;
  }

  void add(std::size_t index, const std::string& piece) {
    results_[index].text += piece;
    if (callbacks_.on_text && !piece.empty()) callbacks_.on_text(index, piece);
  }

  bool push(std::size_t index, std::int32_t token) {
    StoppedContinuation& text = text_of(index);
    add(index, text.push(token));
    return !text.found() && !(callbacks_.interrupted && callbacks_.interrupted());
  }

  void end(std::size_t index, const Continuation& made) {
    StoppedContinuation& text = text_of(index);
    add(index, text.finish());
    GeneratedText& result = results_[index];
    result.stop_string = text.found();
    result.continuation = made;
    begun_.erase(index);
    if (callbacks_.on_end) callbacks_.on_end(index, result);
  }

  const Tokenizer& tokenizer_;
  std::span<const TextPrompt> prompts_;
  const TextCallbacks& callbacks_;
  std::map<std::size_t, StoppedContinuation> begun_;
  std::vector<GeneratedText> results_;
};

}  // namespace

std::vector<std::int32_t> end_tokens(const Checkpoint& checkpoint, const TextEncoder& encoder) {
  std::vector<std::int32_t> tokens = end_tokens(checkpoint);
  if (encoder.end_token()) tokens.push_back(*encoder.end_token());
  return tokens;
}

std::vector<GeneratedText> generate_texts(const Model& model, const Tokenizer& tokenizer,
                                          const std::vector<TextPrompt>& prompts,
                                          const GenerationOptions& options,
                                          const TextCallbacks& callbacks) {
  std::vector<Prompt> tokens;
  tokens.reserve(prompts.size());
  for (const TextPrompt& prompt : prompts) tokens.push_back(prompt.prompt);
  Writing writing(tokenizer, prompts, callbacks);
  generate(model, tokens, options, writing.callbacks());
  return writing.results();
}

GeneratedText generate_text(Session& session, const Tokenizer& tokenizer, const TextPrompt& prompt,
                            const GenerationOptions& options, const TextCallbacks& callbacks) {
  Writing writing(tokenizer, {&prompt, 1}, callbacks);
  generate(session, prompt.prompt, options, writing.callbacks());
  return writing.results().front();
}

}  // namespace terse
