// Strings as Python sees them: by code points. Every text is UTF-8.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace terse::chat {

bool is_valid_utf8(std::string_view text);
void append_code_point(std::string& text, char32_t character);

/// Length in bytes of the character that begins at `at`, which is inside `text`.
std::size_t character_bytes(std::string_view text, std::size_t at);
/// The same of the character that ends at `end`, which is not 0.
std::size_t character_bytes_before(std::string_view text, std::size_t end);
char32_t code_point_at(std::string_view text, std::size_t at);

std::size_t count_code_points(std::string_view text);
/// Where the code point number `index` begins; the size of the text when it has fewer.
std::size_t byte_offset(std::string_view text, std::size_t index);

/// A text as a row of its characters: for (std::string_view character : Characters(text)).
class Characters {
 public:
  class Iterator {
   public:
    explicit Iterator(std::string_view rest) : rest_(rest) {}
    std::string_view operator*() const { return rest_.substr(0, character_bytes(rest_, 0)); }
    Iterator& operator++() {
      rest_.remove_prefix(character_bytes(rest_, 0));
      return *this;
    }
    bool operator!=(const Iterator& other) const { return rest_.size() != other.rest_.size(); }

   private:
    std::string_view rest_;
  };

  explicit Characters(std::string_view text) : text_(text) {}
  Iterator begin() const { return Iterator(text_); }
  static Iterator end() { return Iterator(std::string_view()); }

 private:
  std::string_view text_;
};

/// Python's str.isspace, str.isalpha and the like for one character.
bool is_space(char32_t character);
bool is_letter(char32_t character);
bool is_digit(char32_t character);
bool is_number_like(char32_t character);
bool is_upper_case(char32_t character);
bool is_lower_case(char32_t character);
bool is_cased(char32_t character);
/// Whether repr() shows the character itself.
bool is_printable(char32_t character);

/// One character for one, except that the capital of U+00DF is SS, as Python has it.
std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
/// The first character in title case, the rest in lower case.
std::string capitalized(std::string_view text);

std::string_view strip_start(std::string_view text);
std::string_view strip_end(std::string_view text);

}  // namespace terse::chat
