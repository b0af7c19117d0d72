// Texts that a model writes behind prompts: generation seen as text, with stop strings.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "terse/model/generation.h"
#include "terse/tokenizer/text_encoder.h"

namespace terse {

/// Tokens that end a text: those that the model's configs name, and the end token of its tokenizer,
/// since some chat models name the one that ends an answer there alone.
std::vector<std::int32_t> end_tokens(const Checkpoint& checkpoint, const TextEncoder& encoder);

struct TextPrompt {
  Prompt prompt;
  std::vector<std::string> stop_strings;  ///< None is empty. Each ends the text.
};

struct GeneratedText {
  std::string text;                        ///< What stands before a stop string.
  std::optional<std::string> stop_string;  ///< The one that ended the text.
  Continuation continuation;               ///< All tokens, those of the stop string included.

  /// Ended by a stop token or a stop string, not by a limit or an interruption.
  bool stopped() const { return stop_string || continuation.end == EndReason::stop_token; }
};

/// What is told while texts grow; each may be empty.
struct TextCallbacks {
  /// More of a text. What could be the beginning of a stop string is told when it is certain that
  /// it is none.
  std::function<void(std::size_t prompt, std::string_view piece)> on_text;
  std::function<void(std::size_t prompt, const GeneratedText&)> on_end;
  /// Asked after every token: true ends the text there.
  std::function<bool()> interrupted;
};

/// As generate, for texts.
std::vector<GeneratedText> generate_texts(const Model& model, const Tokenizer& tokenizer,
                                          const std::vector<TextPrompt>& prompts,
                                          const GenerationOptions& options,
                                          const TextCallbacks& callbacks = {});
GeneratedText generate_text(Session& session, const Tokenizer& tokenizer, const TextPrompt& prompt,
                            const GenerationOptions& options, const TextCallbacks& callbacks = {});

}  // namespace terse
