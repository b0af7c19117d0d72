#include "terse/tokenizer/added_tokens.h"

#include <algorithm>

#include "terse/core/error.h"
#include "terse/tokenizer/part.h"
#include "terse/tokenizer/unicode.h"

namespace terse {
namespace {

// The character that ends at `end`, which is not 0.
Utf8Step read_utf8_before(std::string_view text, std::size_t end) {
  std::size_t begin = end - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xc0U) == 0x80U) --begin;
  return read_utf8(text, begin);
}

// As the reference: a word character of a regex, joiners included.
bool is_word_character(char32_t character) {
  return is_word(character) || character == 0x200c || character == 0x200d;
}

bool stands_alone(std::string_view text, const Range& match) {
  const bool left =
      match.begin == 0 || !is_word_character(read_utf8_before(text, match.begin).value);
  const bool right =
      match.end == text.size() || !is_word_character(read_utf8(text, match.end).value);
  return left && right;
}

}  // namespace

AddedTokens::AddedTokens(const Json& tokens, const Vocabulary& model,
                         const Normalizer* normalizer) {
  if (tokens.is_null()) return;
  if (!tokens.is_array()) throw bad_input("expected an array, found {}", tokens.type_name());
  for (const Json& token : tokens) add(token, model, normalizer);
}

void AddedTokens::add(const Json& token, const Vocabulary& model, const Normalizer* normalizer) {
  std::string content = get_string(token, "content");
  const std::string owner = fmt::format("token '{}'", content);
  if (!has_key(token, "id")) throw bad_input("{}: key 'id' is missing", owner);
  const std::int32_t id = to_id(token["id"], owner);
  if (content.empty()) return;
  const auto require_id = [&](std::optional<std::int32_t> expected) {
    if (expected && *expected != id) {
      throw bad_input("{} has the id {}, but the vocabulary says {}", owner, id, *expected);
    }
  };
  const std::string* other = model.token(id);
  if (other != nullptr && *other != content) {
    throw bad_input("{} has the id {}, which the vocabulary gives to '{}'", owner, id, *other);
  }
  require_id(model.find(content));
  require_id(vocabulary_.find(content));
  const bool special = get_bool(token, "special", false);
  flags_[id] = {get_bool(token, "single_word", false), get_bool(token, "lstrip", false),
                get_bool(token, "rstrip", false), special};
  if (get_bool(token, "normalized", !special)) {
    const std::string sought = normalizer == nullptr ? content : normalizer->apply(content);
    if (!sought.empty()) normalized_.insert(sought, id);
  } else {
    raw_.insert(content, id);
  }
  if (!vocabulary_.find(content)) vocabulary_.add(std::move(content), id);
}

bool AddedTokens::is_special(std::int32_t id) const {
  const auto found = flags_.find(id);
  return found != flags_.end() && found->second.special;
}

std::vector<AddedTokenSpan> AddedTokens::split_raw(std::string_view text) const {
  return split(text, raw_);
}

std::vector<AddedTokenSpan> AddedTokens::split_normalized(std::string_view text) const {
  return split(text, normalized_);
}

// The white space that a match takes with it, but not below `floor`, where the last match ended.
Range AddedTokens::strip(std::string_view text, Range match, std::size_t floor,
                         const Flags& flags) const {
  while (flags.strip_left && match.begin > floor) {
    const Utf8Step step = read_utf8_before(text, match.begin);
    if (!is_white_space(step.value)) break;
    match.begin -= step.length;
  }
  while (flags.strip_right && match.end < text.size()) {
    const Utf8Step step = read_utf8(text, match.end);
    if (!is_white_space(step.value)) break;
    match.end += step.length;
  }
  return match;
}

std::vector<AddedTokenSpan> AddedTokens::split(std::string_view text, const ByteTrie& trie) const {
  std::vector<AddedTokenSpan> spans;
  std::size_t last = 0;
  for (std::size_t at = 0; at < text.size() && !trie.empty();) {
    Range match{at, at};
    std::int32_t id = -1;
    if (trie.begins_with(text[at])) {
      trie.for_each_prefix(text.substr(at), [&](std::size_t length, std::int32_t found) {
        match.end = at + length;
        id = found;
      });
    }
    if (id < 0) {
      ++at;
      continue;
    }
    at = match.end;
    const Flags& flags = flags_.at(id);
    if (flags.single_word && !stands_alone(text, match)) continue;
    match = strip(text, match, last, flags);
    if (match.begin > last) spans.push_back({{last, match.begin}, std::nullopt});
    spans.push_back({match, id});
    last = match.end;
    at = std::max(at, last);
  }
  if (last < text.size()) spans.push_back({{last, text.size()}, std::nullopt});
  return spans;
}

}  // namespace terse
