// The normaliser that SentencePiece compiles into a model: a table of replacements.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "terse/tokenizer/normalizer.h"

namespace terse {

/// `precompiled_charsmap`: base64 of a little-endian uint32 size in bytes, a double-array trie of
/// that size (Darts-clone units of 32 bits), and the replacements, each ended by a zero byte
/// (SentencePiece, normalizer.cc). Each grapheme of less than 6 bytes is replaced as a whole where
/// the trie knows a prefix of it, else its characters one by one, as the reference does.
class Precompiled : public Normalizer {
 public:
  /// Errors: bad_input when it is no such table.
  explicit Precompiled(std::string_view base64);

  std::string apply(std::string text) const override;

 private:
  bool append_replacement(std::string_view part, std::string& result) const;
  void append_grapheme(std::string_view grapheme, std::string& result) const;

  std::vector<std::uint32_t> trie_;
  std::string replacements_;
};

}  // namespace terse
