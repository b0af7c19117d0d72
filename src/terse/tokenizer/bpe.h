// Byte-pair encoding (Sennrich, Haddow, Birch 2016), over characters: byte-level vocabularies give
// it the characters that stand for bytes.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "terse/tokenizer/flat_map.h"
#include "terse/tokenizer/model.h"

namespace terse {

/// A piece begins as its characters: each is its token; or, with `byte_fallback`, the tokens of its
/// bytes when the vocabulary has them all; or the unknown token, one for a run of unknown
/// characters with `fuse_unk`; or nothing when there is no unknown token. Then the neighbours whose
/// merge has the lowest rank are merged, the leftmost first, until none can be.
class Bpe : public TokenModel {
 public:
  /// Errors: bad_input naming the key.
  explicit Bpe(const Json& part);

  void encode(std::string_view piece, std::vector<std::int32_t>& ids) const override;
  std::size_t independent_prefix(std::string_view piece) const override;
  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  using Ids = std::vector<std::int32_t>;

  void read_vocabulary(const Json& part);
  void read_merges(const Json& part);
  std::pair<std::string, std::string> read_merge(const Json& merge, std::size_t index) const;
  void add_merge(const std::string& left, const std::string& right, std::uint32_t rank);
  void index_characters();
  void index_neighbours(const std::string& merged);
  std::int32_t require_token(const std::string& token, std::string_view owner) const;

  std::optional<std::int32_t> character_id(char32_t character, std::string_view text, bool first,
                                           bool last) const;
  bool append_bytes(std::string_view text, Ids& symbols) const;
  Ids split_into_symbols(std::string_view piece) const;
  std::int32_t unknown_id() const;
  /// Rank and id of the merge of two symbols as (rank << 32 | id), or kNoMerge.
  std::uint64_t merge_of(std::int32_t left, std::int32_t right) const;
  void merge_short(Ids& symbols) const;
  void merge_long(Ids& symbols) const;

  Vocabulary vocabulary_;
  FlatMap merges_;      // (left << 32 | right) -> (rank << 32 | merged)
  FlatMap characters_;  // code point -> id, of the tokens of one character
  FlatMap neighbours_;  // (left << 32 | right) of the code points that are neighbours in a token
  std::vector<std::optional<std::int32_t>> bytes_;
  std::optional<std::string> unknown_;
  std::string prefix_;  // of characters that continue a word
  std::string suffix_;  // of the character that ends a word
  bool fuse_unknown_ = false;
  bool byte_fallback_ = false;
  bool ignore_merges_ = false;
  bool can_cut_ = true;
};

}  // namespace terse
