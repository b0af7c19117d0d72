#include "terse/tokenizer/part.h"

#include "terse/tokenizer/unicode.h"

namespace terse {

Error unknown_part(std::string_view role, std::string_view type) {
  return bad_input("{} of type '{}' is not supported", role, type);
}

std::vector<const Json*> get_parts(const Json& sequence, std::string_view key) {
  std::vector<const Json*> parts;
  for (const Json& part : get_array(sequence, key)) {
    if (!part.is_object()) {
      throw bad_input("key '{}': expected objects, found {}", key, part.type_name());
    }
    parts.push_back(&part);
  }
  return parts;
}

char32_t get_character(const Json& object, std::string_view key) {
  const std::string text = get_string(object, key);
  if (!text.empty()) {
    const Utf8Step step = read_utf8(text, 0);
    if (step.kind == Utf8Step::Kind::character && step.length == text.size()) return step.value;
  }
  throw bad_input("key '{}': expected one character, found '{}'", key, text);
}

std::int64_t get_count(const Json& object, std::string_view key, std::int64_t maximum) {
  const std::int64_t value = get_integer(object, key);
  if (value < 0 || value > maximum) {
    throw bad_input("key '{}': expected an integer from 0 to {}, found {}", key, maximum, value);
  }
  return value;
}

bool require_bool(const Json& object, std::string_view key) {
  if (!has_key(object, key)) throw bad_input("key '{}' is missing; expected true or false", key);
  return get_bool(object, key, false);
}

void check_growth(std::size_t before, std::size_t after) {
  constexpr std::size_t kFactor = 64;
  constexpr std::size_t kFree = std::size_t{1} << 20;
  if (after > kFree && (after - kFree) / kFactor > before) {
    throw failure("the tokenizer's rules grow a text of {} bytes to {} bytes or more", before,
                  after);
  }
}

}  // namespace terse
