// UTF-8 and the few character properties that tokenizers ask for.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace terse {

/// What stands at one place of a byte string: a character, a malformed sequence (its length is the
/// maximal subpart that Unicode replaces by one U+FFFD, as Python and Rust do), or the beginning of
/// a character that the string ends within.
struct Utf8Step {
  enum class Kind { character, malformed, incomplete };
  Kind kind;
  std::size_t length;
  char32_t value;  // of a character
};
/// `at` must be inside `text`.
Utf8Step read_utf8(std::string_view text, std::size_t at);

void append_utf8(std::string& text, char32_t character);

/// `text` with every malformed or incomplete sequence replaced by U+FFFD.
std::string replace_malformed_utf8(std::string_view text);
bool is_utf8(std::string_view text);
bool is_ascii(std::string_view text);

/// The property White_Space.
bool is_white_space(char32_t character);
/// General categories Nd, Nl and No.
bool is_numeric(char32_t character);
/// ASCII punctuation (symbols such as `$` included) and the general categories P*.
bool is_punctuation(char32_t character);
/// What regexes of the reference call a word character: Alphabetic, M, Nd and Pc.
bool is_word(char32_t character);

/// `text`, which is UTF-8, in lower case, character by character (no context, no locale).
std::string lower_case(std::string_view text);

}  // namespace terse
