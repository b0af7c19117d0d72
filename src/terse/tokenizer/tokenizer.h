// Text to token ids and back, as a Hugging Face `tokenizer.json` says. docs/tokenizers.md says what
// is supported.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "terse/core/json.h"

namespace terse {

/// Copies share one state and are cheap. All methods are const and safe on many threads at once.
class Tokenizer {
 public:
  /// Reads a tokenizer.json. Errors: bad_input naming the file, the part and the key; an unknown
  /// kind of part, or an option that would change the ids, is refused.
  static Tokenizer load(const std::filesystem::path& tokenizer_json);
  /// The same from its contents.
  static Tokenizer parse(const Json& contents);

  /// The ids of a text of any length. Bytes that are not UTF-8 count as U+FFFD, one for each
  /// maximal malformed sequence (as Python's errors="replace"). Errors: bad_input when the text
  /// needs an unknown token that the vocabulary lacks; failed when a pattern of the tokenizer
  /// gives up on the text.
  std::vector<std::int32_t> encode(std::string_view text, bool add_special_tokens = true) const;

  /// The text of ids, which is UTF-8. Ids without a token (padding rows of a model) are skipped.
  std::string decode(std::span<const std::int32_t> ids, bool skip_special_tokens = true) const;

  /// The number of tokens, added ones included.
  std::int64_t vocab_size() const;
  std::optional<std::int32_t> token_id(std::string_view token) const;
  /// The text of a token as the vocabulary stores it. Errors: bad_input when the id has none.
  std::string token(std::int32_t id) const;
  bool is_special(std::int32_t id) const;

 private:
  friend class StreamDecoder;
  struct Parts;
  explicit Tokenizer(std::shared_ptr<const Parts> parts) : parts_(std::move(parts)) {}
  std::shared_ptr<const Parts> parts_;
};

/// Decodes ids one by one, for output while a model writes. What all calls give, joined, is exactly
/// what Tokenizer::decode gives for all ids; no call splits a UTF-8 character.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens = true);
  ~StreamDecoder();
  StreamDecoder(StreamDecoder&&) noexcept;
  StreamDecoder& operator=(StreamDecoder&&) noexcept;

  /// The text that is certain after one more id; often empty inside a character.
  std::string push(std::int32_t id);
  /// The rest; nothing may follow.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace terse
