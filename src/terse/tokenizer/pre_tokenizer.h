// The `pre_tokenizer` of a tokenizer.json: it cuts a text into the pieces that the model sees.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "terse/core/json.h"
#include "terse/tokenizer/regex.h"

namespace terse {

/// A text cut into pieces; what is in no piece was removed. No piece is empty.
struct Pieces {
  std::string text;
  std::vector<Range> ranges;
  bool begins_input = false;  // the first piece begins where the whole input began

  std::string_view piece(const Range& range) const {
    return std::string_view(text).substr(range.begin, range.end - range.begin);
  }
};

/// One step; it cuts the pieces further or rewrites them.
class PreTokenizerStep {
 public:
  virtual ~PreTokenizerStep() = default;
  virtual void apply(Pieces& pieces) const = 0;
};

/// The steps in order. When the last of them is the mapping of bytes to characters that ByteLevel
/// does, it is left out and `byte_level` says so: the model's caller then maps only words that it
/// has not seen before.
struct PreTokenizer {
  std::vector<std::unique_ptr<const PreTokenizerStep>> steps;
  bool byte_level = false;

  /// Errors: failed when the text grows out of bounds or a regex gives up.
  void apply(Pieces& pieces) const;
};

/// Kinds: Split, ByteLevel, Metaspace, Whitespace, WhitespaceSplit, Digits, Punctuation, Sequence.
/// Errors: bad_input naming the part. `part` may be null: no steps.
PreTokenizer read_pre_tokenizer(const Json& part);

/// The options of Metaspace, which the decoder of that name has too.
struct MetaspaceOptions {
  enum class Prepend { always, first, never };
  std::string replacement;
  Prepend prepend;
  bool split;
};
MetaspaceOptions read_metaspace(const Json& part);

}  // namespace terse
