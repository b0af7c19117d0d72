// Oniguruma's Ruby dialect to PCRE2's. Facts: oniguruma doc/RE and doc/SYNTAX.md, pcre2pattern(3).
#include <cctype>
#include <cstdint>

#include "terse/core/error.h"
#include "terse/tokenizer/regex.h"

namespace terse {
namespace {

// White_Space; PCRE2's \s counts U+180E too.
constexpr std::string_view kSpace =
    R"(\x09-\x0d\x20\x85\xa0\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
// Alphabetic, M, Nd and Pc; PCRE2's \w is L, N and the underscore.
constexpr std::string_view kWord =
    R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169})"
    R"(\x{1f170}-\x{1f189})";
constexpr std::string_view kHex = "0-9a-fA-F";

class Translator {
 public:
  explicit Translator(std::string_view pattern) : pattern_(pattern) {}

  std::string run() {
    while (at_ < pattern_.size()) {
      switch (pattern_[at_]) {
        case '\\':
          escape(false);
          break;
        case '[':
          character_class();
          break;
        case '(':
          group();
          break;
        case '{':
          interval();
          break;
        default:
          copy(1);
      }
    }
    return std::move(result_);
  }

 private:
  char peek(std::size_t ahead) const {
    return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0';
  }

  void copy(std::size_t count) {
    const std::string_view part = pattern_.substr(at_, count);
    result_ += part;
    at_ += part.size();
  }

  void replace(std::size_t count, std::string_view text) {
    result_ += text;
    at_ += count;
  }

  // A set by its body: inside a class the body alone, outside it a class of its own.
  void set(std::string_view body, bool inside, bool negated) {
    result_ += inside ? "" : negated ? "[^" : "[";
    result_ += body;
    result_ += inside ? "" : "]";
    at_ += 2;
  }

  // An edge is where word and no word meet; its opposite is where they do not.
  void word_edge(bool negated) {
    const std::string word = fmt::format("[{}]", kWord);
    const std::string after = negated ? "?!" : "?=";
    const std::string within = negated ? "?=" : "?!";
    replace(2, fmt::format("(?:(?<={0})({1}{0})|(?<!{0})({2}{0}))", word, within, after));
  }

  void escape(bool inside) {
    const char kind = peek(1);
    switch (kind) {
      case 's':
        return set(kSpace, inside, false);
      case 'S':
        return inside ? replace(2, R"(\S\x{180e})") : set(kSpace, false, true);
      case 'w':
        return set(kWord, inside, false);
      case 'h':
        return set(kHex, inside, false);
      case 'W':
      case 'H':
        if (inside) throw bad_input("\\{} inside a class is not supported", kind);
        return set(kind == 'W' ? kWord : kHex, false, true);
      case 'v':
        return replace(2, R"(\x0b)");
      case 'b':
      case 'B':
        return inside ? copy(2) : word_edge(kind == 'B');
      case 'u':
        return unicode();
      case 'x':
        return hexadecimal();
      case 'Q':
      case 'E':
        throw bad_input("\\{} is not supported", kind);
      default:
        copy(2);
    }
  }

  void unicode() {
    for (std::size_t i = 2; i < 6; ++i) {
      if (std::isxdigit(static_cast<unsigned char>(peek(i))) == 0) {
        throw bad_input("\\u must be followed by four hexadecimal digits");
      }
    }
    replace(6, fmt::format("\\x{{{}}}", pattern_.substr(at_ + 2, 4)));
  }

  // Above 7f Oniguruma means a byte of UTF-8, PCRE2 a character.
  void hexadecimal() {
    const bool two = std::isxdigit(static_cast<unsigned char>(peek(2))) != 0 &&
                     std::isxdigit(static_cast<unsigned char>(peek(3))) != 0;
    if (two && peek(2) > '7') throw bad_input("bytes by \\x80 to \\xff are not supported");
    copy(2);
  }

  void character_class() {
    copy(1);
    if (peek(0) == '^') copy(1);
    if (peek(0) == ']') copy(1);  // literal at the beginning
    while (at_ < pattern_.size() && pattern_[at_] != ']') {
      if (pattern_[at_] == '\\') {
        escape(true);
      } else if (pattern_[at_] == '[') {
        posix_class();
      } else if (peek(0) == '&' && peek(1) == '&') {
        throw bad_input("an intersection (&&) inside a class is not supported");
      } else {
        copy(1);
      }
    }
    copy(1);
  }

  void posix_class() {
    const std::size_t end = pattern_.find(":]", at_);
    if (peek(1) != ':' || end == std::string_view::npos) {
      throw bad_input("a class inside a class is not supported");
    }
    copy(end + 2 - at_);
  }

  void group() {
    if (peek(1) == '*') throw bad_input("(*...) is not supported");
    if (peek(1) != '?') return copy(1);
    copy(2);
    // Ruby's m lets the dot match newlines, which PCRE2 calls s; Ruby has no s.
    for (bool off = false;
         std::isalpha(static_cast<unsigned char>(peek(0))) != 0 || peek(0) == '-';) {
      const char flag = peek(0);
      if (flag != 'i' && flag != 'm' && flag != 'x' && (flag != '-' || off)) {
        throw bad_input("(?{}...) is not supported", flag);
      }
      off = off || flag == '-';
      replace(1, flag == 'm' ? "s" : std::string_view(&flag, 1));
    }
  }

  void interval() {
    std::size_t length = 1;
    const auto digits = [&] {
      const std::size_t begin = length;
      while (std::isdigit(static_cast<unsigned char>(peek(length))) != 0) ++length;
      return length > begin;
    };
    const bool low = digits();
    const bool comma = peek(length) == ',';
    if (comma) ++length;
    const bool high = comma && digits();
    if (peek(length) != '}' || !(low || high)) return copy(1);  // literal
    ++length;
    const char next = peek(length);
    if (next == '+' || (next == '?' && !comma)) {
      throw bad_input("'{}{}' is not supported: write the group that is repeated out",
                      pattern_.substr(at_, length), next);
    }
    if (!low) {
      replace(1, "{0");
      --length;
    }
    copy(length);
  }

  std::string_view pattern_;
  std::size_t at_ = 0;
  std::string result_;
};

}  // namespace

std::string translate_oniguruma(std::string_view pattern) {
  return Translator(pattern).run();
}

}  // namespace terse
