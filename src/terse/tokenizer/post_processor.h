// The `post_processor` of a tokenizer.json: it puts special tokens around the ids of a text.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "terse/core/json.h"

namespace terse {

class PostProcessor {
 public:
  /// Kinds: TemplateProcessing (its template for a single text), ByteLevel (which changes offsets
  /// only), Sequence. `part` may be null: nothing is added. `is_known` says whether an id has a
  /// token. Errors: bad_input naming the part.
  PostProcessor(const Json& part, const std::function<bool(std::int32_t)>& is_known);

  /// The ids with everything around them.
  std::vector<std::int32_t> apply(const std::vector<std::int32_t>& ids,
                                  bool add_special_tokens) const;

 private:
  struct Piece {
    bool is_text;
    std::vector<std::int32_t> special_ids;
  };

  void add_part(const Json& part, const std::function<bool(std::int32_t)>& is_known);
  void read_template(const Json& part, const std::function<bool(std::int32_t)>& is_known);

  std::vector<Piece> pieces_;
};

}  // namespace terse
