// The unigram language model (Kudo 2018): the most likely way to cut a piece into tokens.
#pragma once

#include <optional>
#include <vector>

#include "terse/tokenizer/byte_trie.h"
#include "terse/tokenizer/model.h"

namespace terse {

/// Viterbi over the scores (logarithms of probabilities). A character that is no token by itself
/// may be an unknown one, at the lowest score of the vocabulary less 10. A run of unknown
/// characters is one unknown token; with `byte_fallback` the tokens of its bytes, when the
/// vocabulary has them all.
class Unigram : public TokenModel {
 public:
  /// Errors: bad_input naming the key.
  explicit Unigram(const Json& part);

  void encode(std::string_view piece, std::vector<std::int32_t>& ids) const override;
  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  void read_vocabulary(const Json& part);
  void append(std::string_view text, std::vector<std::int32_t>& ids) const;
  std::int32_t unknown_id() const;

  Vocabulary vocabulary_;
  std::vector<double> scores_;  // by id
  ByteTrie trie_;
  std::optional<std::int32_t> unknown_;
  double unknown_score_ = 0;
  bool byte_fallback_ = false;
};

}  // namespace terse
