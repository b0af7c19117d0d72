// Files of prompts: JSON Lines, an object for each prompt.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "terse/chat/chat_template.h"
#include "terse/core/json.h"
#include "terse/model/text/text_generation.h"
#include "terse/tokenizer/text_encoder.h"

namespace terse {

/// {"prompt": text} or {"messages": [{"role": text, ...}, ...]}, and besides, as it likes, "id" (a
/// text or an integer), "seed", "max_tokens" and "stop" (a text or several).
struct BatchRequest {
  std::size_t line = 0;  ///< Of the file, from 1 on.
  Json id;               ///< Null where there is none.
  std::optional<std::string> prompt;
  OrderedJson messages;  ///< Where there is no prompt.
  std::optional<std::uint64_t> seed;
  std::optional<std::int64_t> max_tokens;
  std::optional<std::vector<std::string>> stop_strings;
};

/// The requests of a file's text; empty lines are passed over. Errors: bad_input naming the line:
/// what is not JSON, another key, a value of the wrong kind, both of prompt and messages or none.
std::vector<BatchRequest> parse_batch(std::string_view text);

/// What requests are turned into prompts with.
struct BatchSetting {
  const TextEncoder& encoder;
  const ChatTemplate* form;  ///< May be null where no request has messages.
  const Architecture& architecture;
  std::uint64_t seed;                     ///< For requests without one.
  std::vector<std::string> stop_strings;  ///< For requests without any.
};

/// Prompts in the order of the requests. Errors: bad_input naming the line, for prompts that
/// check_prompt refuses and messages that the chat template refuses.
std::vector<TextPrompt> encode_batch(const std::vector<BatchRequest>& requests,
                                     const BatchSetting& setting);

}  // namespace terse
