#include "terse/tokenizer/model.h"

#include "terse/core/error.h"
#include "terse/tokenizer/bpe.h"
#include "terse/tokenizer/part.h"
#include "terse/tokenizer/unigram.h"

namespace terse {
namespace {

std::string type_of(const Json& part) {
  if (has_key(part, "type")) return get_string(part, "type");
  if (has_key(part, "merges")) return "BPE";
  if (has_key(part, "vocab") && part["vocab"].is_array()) return "Unigram";
  return get_string(part, "type");
}

}  // namespace

std::unique_ptr<const TokenModel> read_token_model(const Json& part) {
  const std::string type = type_of(part);
  return with_context(type, [&]() -> std::unique_ptr<const TokenModel> {
    if (type == "BPE") return std::make_unique<Bpe>(part);
    if (type == "Unigram") return std::make_unique<Unigram>(part);
    throw unknown_part("model", type);
  });
}

}  // namespace terse
