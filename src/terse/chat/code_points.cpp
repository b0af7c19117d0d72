#include "terse/chat/code_points.h"

#include <utf8proc.h>

#include <algorithm>

namespace terse::chat {
namespace {

constexpr char32_t kSharpS = 0xdf;

bool is_continuation(char byte) {
  return (static_cast<unsigned char>(byte) & 0xc0U) == 0x80U;
}

utf8proc_category_t category(char32_t character) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(character));
}

template <class Map>
std::string map_characters(std::string_view text, const Map& map) {
  std::string mapped;
  mapped.reserve(text.size());
  for (std::size_t at = 0; at < text.size(); at += character_bytes(text, at)) {
    map(mapped, code_point_at(text, at));
  }
  return mapped;
}

void append_lower(std::string& text, char32_t character) {
  append_code_point(
      text, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(character))));
}

void append_upper(std::string& text, char32_t character) {
  if (character == kSharpS) {
    text += "SS";
    return;
  }
  append_code_point(
      text, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(character))));
}

void append_title(std::string& text, char32_t character) {
  if (character == kSharpS) {
    text += "Ss";
    return;
  }
  append_code_point(
      text, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(character))));
}

}  // namespace

bool is_valid_utf8(std::string_view text) {
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  for (std::size_t at = 0; at < text.size();) {
    utf8proc_int32_t character = 0;
    const auto read = utf8proc_iterate(
        bytes + at, static_cast<utf8proc_ssize_t>(std::min<std::size_t>(4, text.size() - at)),
        &character);
    if (read <= 0) return false;
    at += static_cast<std::size_t>(read);
  }
  return true;
}

void append_code_point(std::string& text, char32_t character) {
  utf8proc_uint8_t bytes[4];
  const auto size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(character), bytes);
  text.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
}

std::size_t character_bytes(std::string_view text, std::size_t at) {
  std::size_t end = at + 1;
  while (end < text.size() && is_continuation(text[end])) ++end;
  return end - at;
}

std::size_t character_bytes_before(std::string_view text, std::size_t end) {
  std::size_t begin = end - 1;
  while (begin > 0 && is_continuation(text[begin])) --begin;
  return end - begin;
}

char32_t code_point_at(std::string_view text, std::size_t at) {
  utf8proc_int32_t character = 0;
  utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at,
                   static_cast<utf8proc_ssize_t>(std::min<std::size_t>(4, text.size() - at)),
                   &character);
  return static_cast<char32_t>(character);
}

std::size_t count_code_points(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char byte) { return !is_continuation(byte); }));
}

std::size_t byte_offset(std::string_view text, std::size_t index) {
  std::size_t at = 0;
  for (; index > 0 && at < text.size(); --index) at += character_bytes(text, at);
  return at;
}

bool is_space(char32_t character) {
  if (character < 0x80) {
    return character == ' ' || (character >= 9 && character <= 13) ||
           (character >= 28 && character <= 31);
  }
  return character == 0x85 || category(character) == UTF8PROC_CATEGORY_ZS || character == 0x2028 ||
         character == 0x2029;
}

bool is_letter(char32_t character) {
  const auto found = category(character);
  return found >= UTF8PROC_CATEGORY_LU && found <= UTF8PROC_CATEGORY_LO;
}

bool is_digit(char32_t character) {
  return category(character) == UTF8PROC_CATEGORY_ND;
}

bool is_number_like(char32_t character) {
  const auto found = category(character);
  return found >= UTF8PROC_CATEGORY_ND && found <= UTF8PROC_CATEGORY_NO;
}

bool is_upper_case(char32_t character) {
  return category(character) == UTF8PROC_CATEGORY_LU;
}

bool is_lower_case(char32_t character) {
  return category(character) == UTF8PROC_CATEGORY_LL;
}

bool is_cased(char32_t character) {
  const auto found = category(character);
  return found >= UTF8PROC_CATEGORY_LU && found <= UTF8PROC_CATEGORY_LT;
}

bool is_printable(char32_t character) {
  if (character == ' ') return true;
  const auto found = category(character);
  return found != UTF8PROC_CATEGORY_CN && found < UTF8PROC_CATEGORY_ZS;
}

std::string to_upper(std::string_view text) {
  return map_characters(text, append_upper);
}

std::string to_lower(std::string_view text) {
  return map_characters(text, append_lower);
}

std::string capitalized(std::string_view text) {
  if (text.empty()) return {};
  const std::size_t first = character_bytes(text, 0);
  std::string made;
  append_title(made, code_point_at(text, 0));
  return made + to_lower(text.substr(first));
}

std::string_view strip_start(std::string_view text) {
  while (!text.empty() && is_space(code_point_at(text, 0))) {
    text.remove_prefix(character_bytes(text, 0));
  }
  return text;
}

std::string_view strip_end(std::string_view text) {
  while (!text.empty()) {
    const std::size_t size = character_bytes_before(text, text.size());
    if (!is_space(code_point_at(text, text.size() - size))) break;
    text.remove_suffix(size);
  }
  return text;
}

}  // namespace terse::chat
