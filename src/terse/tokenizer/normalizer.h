// The `normalizer` of a tokenizer.json: it rewrites a text before anything splits it.
#pragma once

#include <memory>
#include <string>

#include "terse/core/json.h"

namespace terse {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  /// `text` is UTF-8 and so is the result. Errors: failed when the text grows out of bounds or a
  /// regex gives up.
  virtual std::string apply(std::string text) const = 0;
};

/// Kinds: NFC, NFD, NFKC, NFKD, Lowercase, Strip, Prepend, Replace, Precompiled, Sequence.
/// Errors: bad_input naming the part.
std::unique_ptr<const Normalizer> read_normalizer(const Json& part);

}  // namespace terse
