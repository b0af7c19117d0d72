#include "terse/chat/template_lexer.h"

#include <algorithm>
#include <array>

#include "terse/chat/code_points.h"
#include "terse/chat/string_literal.h"
#include "terse/core/error.h"

namespace terse::chat {
namespace {

using Kind = Token::Kind;
constexpr std::size_t kLongestName = 1000;
constexpr std::size_t kNowhere = std::string_view::npos;

bool is_decimal(char byte) {
  return byte >= '0' && byte <= '9';
}

bool is_digit_of(char byte, int base) {
  if (base == 16) return std::isxdigit(static_cast<unsigned char>(byte)) != 0;
  return byte >= '0' && byte < '0' + base;
}

// Line ends become \n, and one at the very end goes.
std::string normalised(std::string_view source) {
  std::string text;
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      text += source[i];
      continue;
    }
    text += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

class Lexer {
 public:
  explicit Lexer(std::string text) : text_(std::move(text)) {}

  std::vector<Token> run() {
    while (at_ < text_.size()) {
      const std::size_t tag = find_tag();
      if (tag == kNowhere) {
        add_text(text_.substr(at_));
        move_to(text_.size());
        break;
      }
      read_tag(tag);
    }
    add(Kind::end, "");
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return std::string_view(text_).substr(at_); }
  bool starts_with(std::string_view what) const { return rest().starts_with(what); }

  // All progress goes through here: it counts lines and sees whether a line begins.
  void move_to(std::size_t end) {
    if (end == at_) return;
    line_ += static_cast<int>(std::count(text_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         text_.begin() + static_cast<std::ptrdiff_t>(end), '\n'));
    at_ = end;
    line_begins_ = text_[at_ - 1] == '\n';
  }

  void add(Kind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }

  void add_text(std::string text) {
    if (!text.empty()) add(Kind::text, std::move(text));
  }

  Error error(std::string_view what) const { return bad_input("line {}: {}", line_, what); }

  std::size_t find_tag() const {
    for (std::size_t at = text_.find('{', at_); at != kNowhere; at = text_.find('{', at + 1)) {
      if (at + 1 < text_.size() && std::string_view("{%#").find(text_[at + 1]) != kNowhere) {
        return at;
      }
    }
    return kNowhere;
  }

  // The text before a tag, less what the tag's sign, or a block alone on its line, takes away.
  std::string text_before(std::size_t tag, bool is_block, char sign) const {
    std::string_view text = std::string_view(text_).substr(at_, tag - at_);
    if (sign == '-') return std::string(strip_end(text));
    if (sign != '+' && is_block) {
      const std::size_t line_end = text.rfind('\n');
      const std::size_t begin = line_end == kNowhere ? 0 : line_end + 1;
      const bool at_line_start = line_end != kNowhere || line_begins_;
      if (at_line_start && strip_start(text.substr(begin)).empty()) text = text.substr(0, begin);
    }
    return std::string(text);
  }

  char sign_at(std::size_t at) const {
    return at < text_.size() && (text_[at] == '-' || text_[at] == '+') ? text_[at] : '\0';
  }

  void read_tag(std::size_t tag) {
    const char kind = text_[tag + 1];
    const char sign = sign_at(tag + 2);
    add_text(text_before(tag, kind != '{', sign));
    move_to(tag + 2 + (sign != '\0' ? 1 : 0));
    if (kind == '#') return skip_comment();
    if (kind == '%' && enter_raw()) return read_raw();
    add(kind == '{' ? Kind::expression_begin : Kind::block_begin, "");
    read_tokens(kind == '{');
  }

  void skip_space() { move_to(text_.size() - strip_start(rest()).size()); }

  // Takes the end of a block or comment, which may begin with a sign; false when it is not here.
  bool take_end(std::string_view mark) {
    const char sign = sign_at(at_);
    const std::size_t begin = at_ + (sign != '\0' ? 1 : 0);
    if (!std::string_view(text_).substr(begin).starts_with(mark)) return false;
    move_to(begin + mark.size());
    if (sign == '-') {
      skip_space();
    } else if (sign == '\0' && starts_with("\n")) {
      move_to(at_ + 1);
    }
    return true;
  }

  void skip_comment() {
    std::size_t end = text_.find("#}", at_);
    if (end == kNowhere) throw error("a comment has no end");
    if (end > at_ && sign_at(end - 1) != '\0') --end;
    move_to(end);
    take_end("#}");
  }

  bool enter_raw() {
    std::string_view body = strip_start(rest());
    if (!body.starts_with("raw")) return false;
    body = strip_start(body.substr(3));
    const bool strips = body.starts_with('-');
    if (strips) body.remove_prefix(1);
    if (!body.starts_with("%}")) return false;
    move_to(text_.size() - body.size() + 2);
    // A line end behind the tag stays here, unlike behind other blocks.
    if (strips) skip_space();
    return true;
  }

  void read_raw() {
    for (std::size_t tag = text_.find("{%", at_); tag != kNowhere;
         tag = text_.find("{%", tag + 1)) {
      const char sign = sign_at(tag + 2);
      const std::size_t begin = tag + 2 + (sign != '\0' ? 1 : 0);
      const std::string_view body = strip_start(std::string_view(text_).substr(begin));
      if (!body.starts_with("endraw")) continue;
      const std::string_view end = strip_start(body.substr(6));
      if (!end.starts_with("%}") && !end.starts_with("-%}") && !end.starts_with("+%}")) continue;
      add_text(text_before(tag, true, sign));
      move_to(text_.size() - end.size());
      take_end("%}");
      return;
    }
    throw error("a raw block has no end");
  }

  // Tokens up to the end of an expression or a block.
  void read_tokens(bool expression) {
    open_.clear();
    for (;;) {
      skip_space();
      if (at_ == text_.size()) throw error(expression ? "a {{ has no }}" : "a {% has no %}");
      if (open_.empty() && take_tag_end(expression)) return;
      read_token();
    }
  }

  bool take_tag_end(bool expression) {
    const int line = line_;
    if (!expression) {
      if (!take_end("%}")) return false;
      tokens_.push_back({Kind::block_end, "", line});
      return true;
    }
    const bool strips = starts_with("-}}");
    if (!strips && !starts_with("}}")) return false;
    add(Kind::expression_end, "");
    move_to(at_ + (strips ? 3 : 2));
    if (strips) skip_space();
    return true;
  }

  void read_token() {
    const char first = text_[at_];
    if (is_decimal(first)) return read_number();
    if (first == '\'' || first == '"') return read_string(first);
    if (const std::size_t size = name_size()) {
      if (size > kLongestName) throw error("a name is longer than 1000 bytes");
      return take(Kind::name, size);
    }
    read_sign();
  }

  void take(Kind kind, std::size_t size) {
    add(kind, text_.substr(at_, size));
    move_to(at_ + size);
  }

  std::size_t name_size() const {
    std::size_t end = at_;
    while (end < text_.size()) {
      const char32_t character = code_point_at(text_, end);
      if (character != '_' && !is_letter(character) && !is_number_like(character)) break;
      end += character_bytes(text_, end);
    }
    return end - at_;
  }

  // End of the digits that begin at `at`, with single underscores between them.
  std::size_t digits_end(std::size_t at, int base) const {
    const auto is_digit_at = [&](std::size_t i) {
      return i < text_.size() && is_digit_of(text_[i], base);
    };
    while (is_digit_at(at) || (at < text_.size() && text_[at] == '_' && is_digit_at(at + 1))) ++at;
    return at;
  }

  void take_number(Kind kind, std::size_t end) {
    std::string digits = text_.substr(at_, end - at_);
    digits.erase(std::remove(digits.begin(), digits.end(), '_'), digits.end());
    add(kind, std::move(digits));
    move_to(end);
  }

  void read_number() {
    const int base = prefix_base();
    if (base != 10) return take_number(Kind::integer, digits_end(at_ + 2, base));
    const std::size_t whole = digits_end(at_, 10);
    std::size_t end = whole;
    // After a point, as in a.0.1, digits are a place and no fraction.
    if (at_ == 0 || text_[at_ - 1] != '.') {
      if (end + 1 < text_.size() && text_[end] == '.' && is_decimal(text_[end + 1])) {
        end = digits_end(end + 1, 10);
      }
      end = exponent_end(end);
    }
    if (end > whole) return take_number(Kind::real, end);
    if (text_[at_] == '0' && text_.find_first_not_of("0_", at_) < whole) {
      throw error("an integer begins with 0");
    }
    take_number(Kind::integer, whole);
  }

  int prefix_base() const {
    constexpr std::array<std::pair<char, int>, 3> kBases{{{'b', 2}, {'o', 8}, {'x', 16}}};
    if (text_[at_] != '0' || at_ + 2 >= text_.size()) return 10;
    for (const auto& [letter, base] : kBases) {
      if ((text_[at_ + 1] | 0x20) == letter && digits_end(at_ + 2, base) > at_ + 2) return base;
    }
    return 10;
  }

  std::size_t exponent_end(std::size_t at) const {
    if (at >= text_.size() || (text_[at] | 0x20) != 'e') return at;
    std::size_t digits = at + 1;
    if (sign_at(digits) != '\0') ++digits;
    return digits < text_.size() && is_decimal(text_[digits]) ? digits_end(digits, 10) : at;
  }

  void read_string(char quote) {
    std::size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) throw error("a string has no end");
    std::string value;
    try {
      value = decode_literal(std::string_view(text_).substr(at_ + 1, end - at_ - 1));
    } catch (Error& failed) {
      failed.add_context(fmt::format("line {}", line_));
      throw;
    }
    add(Kind::string, std::move(value));
    move_to(end + 1);
  }

  void read_sign() {
    constexpr std::array<std::string_view, 6> kPairs{"//", "**", "==", "!=", ">=", "<="};
    for (const std::string_view pair : kPairs) {
      if (starts_with(pair)) return take(Kind::sign, 2);
    }
    const char sign = text_[at_];
    if (std::string_view("+-/*%~<>=.,:;|()[]{}").find(sign) == kNowhere) {
      throw error(fmt::format("unexpected '{}'", rest().substr(0, character_bytes(text_, at_))));
    }
    balance(sign);
    take(Kind::sign, 1);
  }

  // Within brackets, }} and %} end nothing.
  void balance(char sign) {
    constexpr std::string_view kOpening = "([{";
    constexpr std::string_view kClosing = ")]}";
    if (kOpening.find(sign) != kNowhere) open_ += sign;
    const std::size_t closes = kClosing.find(sign);
    if (closes == kNowhere) return;
    if (open_.empty() || open_.back() != kOpening[closes]) {
      throw error(fmt::format("unexpected '{}'", sign));
    }
    open_.pop_back();
  }

  std::string text_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool line_begins_ = true;
  std::string open_;  // brackets
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> lex(std::string_view source) {
  if (!is_valid_utf8(source)) throw bad_input("the template is not UTF-8");
  return Lexer(normalised(source)).run();
}

}  // namespace terse::chat
