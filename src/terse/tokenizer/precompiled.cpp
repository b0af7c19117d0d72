#include "terse/tokenizer/precompiled.h"

#include <utf8proc.h>

#include <cstring>

#include "terse/tokenizer/part.h"
#include "terse/tokenizer/unicode.h"

namespace terse {
namespace {

int base64_digit(char character) {
  if (character >= 'A' && character <= 'Z') return character - 'A';
  if (character >= 'a' && character <= 'z') return character - 'a' + 26;
  if (character >= '0' && character <= '9') return character - '0' + 52;
  if (character == '+') return 62;
  return character == '/' ? 63 : -1;
}

std::string decode_base64(std::string_view text) {
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3 + 3);
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (const char character : text) {
    const int digit = base64_digit(character);
    if (digit < 0) throw bad_input("key 'precompiled_charsmap' is not base64");
    bits = (bits << 6U) | static_cast<std::uint32_t>(digit);
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes.push_back(static_cast<char>((bits >> count) & 0xffU));
    }
  }
  return bytes;
}

// A unit of a Darts-clone double array.
struct Unit {
  std::uint32_t bits;

  bool has_leaf() const { return ((bits >> 8U) & 1U) != 0; }
  std::uint32_t value() const { return bits & 0x7fffffffU; }
  std::uint32_t label() const { return bits & 0x800000ffU; }
  std::uint32_t offset() const { return (bits >> 10U) << ((bits & 0x200U) >> 6U); }
};

}  // namespace

Precompiled::Precompiled(std::string_view base64) {
  const std::string bytes = decode_base64(base64);
  std::uint32_t size = 0;
  if (bytes.size() >= 4) std::memcpy(&size, bytes.data(), 4);
  if (bytes.size() < 4 || size > bytes.size() - 4 || size % 4 != 0 || size == 0) {
    throw bad_input("key 'precompiled_charsmap': {} bytes do not hold a trie of {} bytes",
                    bytes.size(), size);
  }
  trie_.resize(size / 4);
  std::memcpy(trie_.data(), bytes.data() + 4, size);
  replacements_ = bytes.substr(4 + size);
  if (!is_utf8(replacements_)) {
    throw bad_input("key 'precompiled_charsmap': the replacements are not UTF-8");
  }
}

// The value of the shortest prefix of `part` in the trie.
bool Precompiled::append_replacement(std::string_view part, std::string& result) const {
  std::size_t node = Unit{trie_[0]}.offset();
  for (const char character : part) {
    const auto byte = static_cast<unsigned char>(character);
    node ^= byte;
    if (byte == 0 || node >= trie_.size()) return false;
    const Unit unit{trie_[node]};
    if (unit.label() != byte) return false;
    node ^= unit.offset();
    if (!unit.has_leaf()) continue;
    const std::size_t begin =
        node < trie_.size() ? Unit{trie_[node]}.value() : replacements_.size();
    if (begin >= replacements_.size()) return false;
    const char* text = replacements_.c_str() + begin;
    // A hostile table may point inside a character.
    if (!is_utf8(text)) return false;
    result += text;
    return true;
  }
  return false;
}

void Precompiled::append_grapheme(std::string_view grapheme, std::string& result) const {
  if (grapheme.size() < 6 && append_replacement(grapheme, result)) return;
  for (std::size_t at = 0; at < grapheme.size();) {
    const std::string_view character = grapheme.substr(at, read_utf8(grapheme, at).length);
    if (!append_replacement(character, result)) result += character;
    at += character.size();
  }
}

std::string Precompiled::apply(std::string text) const {
  std::string result;
  result.reserve(text.size());
  utf8proc_int32_t state = 0;
  char32_t previous = 0;
  std::size_t begin = 0;  // of the grapheme
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = read_utf8(text, at);
    if (at > 0 &&
        utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(previous),
                                         static_cast<utf8proc_int32_t>(step.value), &state) != 0) {
      append_grapheme(std::string_view(text).substr(begin, at - begin), result);
      begin = at;
    }
    previous = step.value;
    at += step.length;
  }
  append_grapheme(std::string_view(text).substr(begin), result);
  check_growth(text.size(), result.size());
  return result;
}

}  // namespace terse
