#include "terse/tokenizer/post_processor.h"

#include "terse/tokenizer/part.h"
#include "terse/tokenizer/vocabulary.h"

namespace terse {
namespace {

using IsKnown = std::function<bool(std::int32_t)>;

std::vector<std::int32_t> read_special_ids(const Json& tokens, const std::string& name,
                                           const IsKnown& is_known) {
  if (!has_key(tokens, name)) {
    throw bad_input("key 'special_tokens' lacks '{}', which the template uses", name);
  }
  std::vector<std::int32_t> ids;
  for (const Json& id : get_array(get_object(tokens, name), "ids")) {
    ids.push_back(to_id(id, fmt::format("special token '{}'", name)));
    if (!is_known(ids.back())) {
      throw bad_input("special token '{}' has the id {}, which the vocabulary lacks", name,
                      ids.back());
    }
  }
  return ids;
}

}  // namespace

PostProcessor::PostProcessor(const Json& part, const IsKnown& is_known) {
  if (!part.is_null()) add_part(part, is_known);
  if (pieces_.empty()) pieces_.push_back({true, {}});
}

void PostProcessor::add_part(const Json& part, const IsKnown& is_known) {
  const std::string type = get_string(part, "type");
  if (type == "Sequence") {
    for (const Json* child : get_parts(part, "processors")) add_part(*child, is_known);
  } else if (type == "TemplateProcessing") {
    if (!pieces_.empty()) throw bad_input("more than one TemplateProcessing is not supported");
    with_context(type, [&] { read_template(part, is_known); });
  } else if (type != "ByteLevel") {
    throw unknown_part("post-processor", type);
  }
}

void PostProcessor::read_template(const Json& part, const IsKnown& is_known) {
  for (const Json* piece : get_parts(part, "single")) {
    if (has_key(*piece, "Sequence")) {
      const std::string id = get_string(get_object(*piece, "Sequence"), "id");
      if (id != "A") throw bad_input("key 'single': expected sequence A, found '{}'", id);
      pieces_.push_back({true, {}});
    } else {
      const std::string name = get_string(get_object(*piece, "SpecialToken"), "id");
      pieces_.push_back(
          {false, read_special_ids(get_object(part, "special_tokens"), name, is_known)});
    }
  }
  if (pieces_.empty()) throw bad_input("key 'single' is empty");
}

std::vector<std::int32_t> PostProcessor::apply(const std::vector<std::int32_t>& ids,
                                               bool add_special_tokens) const {
  std::vector<std::int32_t> result;
  for (const Piece& piece : pieces_) {
    if (piece.is_text) {
      result.insert(result.end(), ids.begin(), ids.end());
    } else if (add_special_tokens) {
      result.insert(result.end(), piece.special_ids.begin(), piece.special_ids.end());
    }
  }
  return result;
}

}  // namespace terse
