#include "terse/tokenizer/pattern.h"

#include "terse/tokenizer/part.h"

namespace terse {

Pattern Pattern::read(const Json& part) {
  const Json& pattern = get_object(part, "pattern");
  if (has_key(pattern, "Regex")) return Pattern(Regex(get_string(pattern, "Regex")));
  if (!has_key(pattern, "String")) {
    throw bad_input("key 'pattern': expected an object with the key 'String' or 'Regex'");
  }
  std::string literal = get_string(pattern, "String");
  if (literal.empty()) throw bad_input("key 'String': an empty pattern is not supported");
  return Pattern(std::move(literal));
}

void Pattern::find_all(std::string_view text, std::vector<Range>& matches) const {
  if (const auto* regex = std::get_if<Regex>(&what_)) {
    regex->find_all(text, matches);
    return;
  }
  const std::string& literal = std::get<std::string>(what_);
  for (std::size_t at = text.find(literal); at != std::string_view::npos;
       at = text.find(literal, at + literal.size())) {
    matches.push_back({at, at + literal.size()});
  }
}

std::string Pattern::replace_all(std::string_view text, std::string_view content) const {
  std::vector<Range> matches;
  find_all(text, matches);
  // An upper bound, before anything is allocated.
  check_growth(text.size(), text.size() + matches.size() * content.size());
  std::string result;
  result.reserve(text.size());
  std::size_t last = 0;
  for (const Range& match : matches) {
    result += text.substr(last, match.begin - last);
    result += content;
    last = match.end;
  }
  result += text.substr(last);
  return result;
}

}  // namespace terse
