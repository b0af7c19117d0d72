// The `added_tokens` of a tokenizer.json: tokens that are found in a text before the model sees it.
#pragma once

#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "terse/tokenizer/byte_trie.h"
#include "terse/tokenizer/model.h"
#include "terse/tokenizer/normalizer.h"
#include "terse/tokenizer/regex.h"

namespace terse {

/// A part of a text: an added token, or text between them.
struct AddedTokenSpan {
  Range range;
  std::optional<std::int32_t> id;
};

class AddedTokens {
 public:
  /// `tokens` may be null. Tokens that are `normalized` are sought in the normalised text in their
  /// own normalised form. Errors: bad_input, also when an id disagrees with the model's vocabulary.
  AddedTokens(const Json& tokens, const Vocabulary& model, const Normalizer* normalizer);

  /// Cuts a text at the tokens to be found before normalisation, or after it; the leftmost and
  /// longest first. No span of text is empty.
  std::vector<AddedTokenSpan> split_raw(std::string_view text) const;
  std::vector<AddedTokenSpan> split_normalized(std::string_view text) const;

  const Vocabulary& vocabulary() const { return vocabulary_; }
  bool is_special(std::int32_t id) const;

 private:
  struct Flags {
    bool single_word;
    bool strip_left;
    bool strip_right;
    bool special;
  };

  void add(const Json& token, const Vocabulary& model, const Normalizer* normalizer);
  std::vector<AddedTokenSpan> split(std::string_view text, const ByteTrie& trie) const;
  Range strip(std::string_view text, Range match, std::size_t floor, const Flags& flags) const;

  Vocabulary vocabulary_;
  std::unordered_map<std::int32_t, Flags> flags_;
  ByteTrie raw_;
  ByteTrie normalized_;
};

}  // namespace terse
