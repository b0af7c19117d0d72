// The `model` of a tokenizer.json: it turns a piece of text into ids.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "terse/core/json.h"
#include "terse/tokenizer/vocabulary.h"

namespace terse {

class TokenModel {
 public:
  virtual ~TokenModel() = default;

  /// Appends the ids of a piece, which is UTF-8. Errors: bad_input when it needs an unknown token
  /// that the model lacks.
  virtual void encode(std::string_view piece, std::vector<std::int32_t>& ids) const = 0;

  /// The length of a prefix of `piece` whose ids do not depend on the rest, nor the ids of the rest
  /// on it: a long piece can be encoded part by part. All of it when nothing better is known.
  virtual std::size_t independent_prefix(std::string_view piece) const { return piece.size(); }

  virtual const Vocabulary& vocabulary() const = 0;
};

/// Kinds: BPE, Unigram. Files that are older than the key `type` are recognised by the other keys.
/// Errors: bad_input naming the key.
std::unique_ptr<const TokenModel> read_token_model(const Json& part);

}  // namespace terse
