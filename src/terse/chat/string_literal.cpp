#include "terse/chat/string_literal.h"

#include <charconv>

#include "terse/chat/code_points.h"
#include "terse/core/error.h"

namespace terse::chat {
namespace {

class Decoder {
 public:
  explicit Decoder(std::string_view rest) : rest_(rest) {}

  std::string run() {
    while (!rest_.empty()) {
      const std::size_t slash = rest_.find('\\');
      text_ += rest_.substr(0, slash);
      if (slash == std::string_view::npos) break;
      rest_.remove_prefix(slash + 1);
      escape();
    }
    return std::move(text_);
  }

 private:
  void escape() {
    // The lexer leaves no lone backslash at the end.
    const char kind = rest_.front();
    constexpr std::string_view kNames = "\\'\"abfnrtv";
    constexpr std::string_view kMeant = "\\'\"\a\b\f\n\r\t\v";
    if (const std::size_t at = kNames.find(kind); at != std::string_view::npos) {
      rest_.remove_prefix(1);
      text_ += kMeant[at];
      return;
    }
    if (kind >= '0' && kind <= '7') return octal();
    switch (kind) {
      case '\n':
        return rest_.remove_prefix(1);
      case 'x':
        return hexadecimal(2);
      case 'u':
        return hexadecimal(4);
      case 'U':
        return hexadecimal(8);
      case 'N':
        throw bad_input("the escape \\N in a string is not supported");
      default:
        text_ += '\\';
    }
  }

  void octal() {
    const std::size_t size = std::min(rest_.find_first_not_of("01234567"), rest_.size());
    number(std::min<std::size_t>(size, 3), 8);
  }

  void hexadecimal(std::size_t digits) {
    rest_.remove_prefix(1);
    number(digits, 16);
  }

  void number(std::size_t digits, int base) {
    const std::string_view text = rest_.substr(0, digits);
    std::uint32_t value = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (text.size() != digits || read.ptr != text.data() + digits || value > 0x10ffff ||
        (value >= 0xd800 && value < 0xe000)) {
      throw bad_input("an escape in a string stands for no character");
    }
    append_code_point(text_, value);
    rest_.remove_prefix(digits);
  }

  std::string_view rest_;
  std::string text_;
};

}  // namespace

std::string decode_literal(std::string_view text) {
  return Decoder(text).run();
}

}  // namespace terse::chat
