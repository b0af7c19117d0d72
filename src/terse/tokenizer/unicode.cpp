#include "terse/tokenizer/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace terse {
namespace {

constexpr char32_t kReplacement = 0xfffd;

// The second byte of some leads has a narrower range (no overlong forms, surrogates or values
// beyond U+10FFFF): Unicode 15, table 3-7.
struct Lead {
  std::size_t length;
  unsigned char low;
  unsigned char high;
};

Lead lead_of(unsigned char byte) {
  if (byte < 0xc2) return {0, 0, 0};
  if (byte < 0xe0) return {2, 0x80, 0xbf};
  if (byte == 0xe0) return {3, 0xa0, 0xbf};
  if (byte == 0xed) return {3, 0x80, 0x9f};
  if (byte < 0xf0) return {3, 0x80, 0xbf};
  if (byte == 0xf0) return {4, 0x90, 0xbf};
  if (byte < 0xf4) return {4, 0x80, 0xbf};
  if (byte == 0xf4) return {4, 0x80, 0x8f};
  return {0, 0, 0};
}

std::size_t ascii_prefix(std::string_view text) {
  std::size_t at = 0;
  for (; at + 8 <= text.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + at, 8);
    if ((word & 0x8080808080808080U) != 0) break;
  }
  while (at < text.size() && static_cast<unsigned char>(text[at]) < 0x80) ++at;
  return at;
}

utf8proc_category_t category(char32_t character) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(character));
}

bool in_range(char32_t character, char32_t first, char32_t last) {
  return character >= first && character <= last;
}

}  // namespace

Utf8Step read_utf8(std::string_view text, std::size_t at) {
  const auto first = static_cast<unsigned char>(text[at]);
  if (first < 0x80) return {Utf8Step::Kind::character, 1, first};
  const Lead lead = lead_of(first);
  if (lead.length == 0) return {Utf8Step::Kind::malformed, 1, 0};
  char32_t value = first & (0x7fU >> lead.length);
  for (std::size_t i = 1; i < lead.length; ++i) {
    if (at + i >= text.size()) return {Utf8Step::Kind::incomplete, i, 0};
    const auto byte = static_cast<unsigned char>(text[at + i]);
    const unsigned char low = i == 1 ? lead.low : 0x80;
    const unsigned char high = i == 1 ? lead.high : 0xbf;
    if (byte < low || byte > high) return {Utf8Step::Kind::malformed, i, 0};
    value = (value << 6U) | (byte & 0x3fU);
  }
  return {Utf8Step::Kind::character, lead.length, value};
}

void append_utf8(std::string& text, char32_t character) {
  const auto add = [&](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (character < 0x80) {
    add(character);
  } else if (character < 0x800) {
    add(0xc0U | (character >> 6U));
    add(0x80U | (character & 0x3fU));
  } else if (character < 0x10000) {
    add(0xe0U | (character >> 12U));
    add(0x80U | ((character >> 6U) & 0x3fU));
    add(0x80U | (character & 0x3fU));
  } else {
    add(0xf0U | (character >> 18U));
    add(0x80U | ((character >> 12U) & 0x3fU));
    add(0x80U | ((character >> 6U) & 0x3fU));
    add(0x80U | (character & 0x3fU));
  }
}

std::string replace_malformed_utf8(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = read_utf8(text, at);
    if (step.kind == Utf8Step::Kind::character) {
      result.append(text.substr(at, step.length));
    } else {
      append_utf8(result, kReplacement);
    }
    at += step.length;
  }
  return result;
}

bool is_utf8(std::string_view text) {
  for (std::size_t at = ascii_prefix(text); at < text.size();) {
    const Utf8Step step = read_utf8(text, at);
    if (step.kind != Utf8Step::Kind::character) return false;
    at += step.length;
    at += ascii_prefix(text.substr(at));
  }
  return true;
}

bool is_ascii(std::string_view text) {
  return ascii_prefix(text) == text.size();
}

bool is_white_space(char32_t character) {
  if (character < 0x80) return character == ' ' || in_range(character, 9, 13);
  return character == 0x85 || character == 0xa0 || character == 0x1680 ||
         in_range(character, 0x2000, 0x200a) || character == 0x2028 || character == 0x2029 ||
         character == 0x202f || character == 0x205f || character == 0x3000;
}

bool is_numeric(char32_t character) {
  if (character < 0x80) return in_range(character, '0', '9');
  const utf8proc_category_t kind = category(character);
  return kind == UTF8PROC_CATEGORY_ND || kind == UTF8PROC_CATEGORY_NL ||
         kind == UTF8PROC_CATEGORY_NO;
}

bool is_punctuation(char32_t character) {
  if (character < 0x80) {
    return in_range(character, '!', '/') || in_range(character, ':', '@') ||
           in_range(character, '[', '`') || in_range(character, '{', '~');
  }
  const utf8proc_category_t kind = category(character);
  return kind >= UTF8PROC_CATEGORY_PC && kind <= UTF8PROC_CATEGORY_PO;
}

bool is_word(char32_t character) {
  const utf8proc_category_t kind = category(character);
  // The circled and squared letters are Alphabetic though they are symbols (PropList,
  // Other_Alphabetic).
  return (kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_NL) ||
         kind == UTF8PROC_CATEGORY_PC || in_range(character, 0x24b6, 0x24e9) ||
         in_range(character, 0x1f130, 0x1f149) || in_range(character, 0x1f150, 0x1f169) ||
         in_range(character, 0x1f170, 0x1f189);
}

std::string lower_case(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = read_utf8(text, at);
    at += step.length;
    if (step.value == 0x130) {
      // The one character whose lower case is two: i and a combining dot (SpecialCasing).
      result.append("i\u0307");
    } else {
      append_utf8(result, static_cast<char32_t>(
                              utf8proc_tolower(static_cast<utf8proc_int32_t>(step.value))));
    }
  }
  return result;
}

}  // namespace terse
