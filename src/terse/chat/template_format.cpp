#include "terse/chat/template_format.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>

#include "terse/chat/code_points.h"
#include "terse/chat/template_operators.h"
#include "terse/chat/template_text.h"
#include "terse/core/error.h"

namespace terse::chat {
namespace {

constexpr std::int64_t kWidest = 1000;

struct Conversion {
  std::string key;  // of %(key)s
  bool named = false;
  std::string flags;
  std::int64_t width = 0;
  std::optional<std::int64_t> precision;
  char kind = 0;
};

class Formatter {
 public:
  Formatter(Heap& heap, std::string_view format, const Value& values)
      : heap_(heap), out_(heap), rest_(format), values_(values) {
    is_tuple_ = values.is(Value::Kind::sequence) && values.sequence().form == Sequence::Form::tuple;
  }

  Value run() {
    for (;;) {
      const std::size_t sign = rest_.find('%');
      out_.append(rest_.substr(0, sign));
      if (sign == std::string_view::npos) break;
      rest_.remove_prefix(sign + 1);
      write(read_conversion());
    }
    // These may stay unused: Python takes them for what names are looked up in.
    const bool may_stay =
        values_.is(Value::Kind::dict) || values_.is(Value::Kind::undefined) ||
        (values_.is(Value::Kind::sequence) && values_.sequence().has_places() && !is_tuple_);
    const bool unused =
        is_tuple_ ? used_ < values_.sequence().items.size() : used_ == 0 && !may_stay;
    if (unused) throw bad_input("the format has fewer places than there are values");
    return make_string(out_);
  }

 private:
  char next() {
    if (rest_.empty()) throw bad_input("the format ends within a conversion");
    const char character = rest_.front();
    rest_.remove_prefix(1);
    return character;
  }

  std::int64_t read_count() {
    std::int64_t count = 0;
    while (!rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9') {
      count = std::min(count * 10 + (next() - '0'), kWidest + 1);
    }
    if (count > kWidest) throw bad_input("a width in a format is above {}", kWidest);
    return count;
  }

  Conversion read_conversion() {
    Conversion made;
    if (rest_.starts_with('(')) {
      const std::size_t end = rest_.find(')');
      if (end == std::string_view::npos) throw bad_input("the format lacks a )");
      made.named = true;
      made.key = rest_.substr(1, end - 1);
      rest_.remove_prefix(end + 1);
    }
    while (!rest_.empty() && std::string_view("-+ 0#").find(rest_.front()) != std::string::npos) {
      made.flags += next();
      if (made.flags.size() > 8) throw bad_input("a conversion has too many flags");
    }
    made.width = read_count();
    if (rest_.starts_with('.')) {
      next();
      made.precision = read_count();
    }
    made.kind = next();
    return made;
  }

  const Value& value_of(const Conversion& conversion) {
    ++used_;
    if (conversion.named) {
      if (!values_.is(Value::Kind::dict)) throw bad_input("the format needs a dict");
      const Value* found = values_.dict().find(conversion.key);
      if (found == nullptr) throw bad_input("the format names '{}'", conversion.key);
      return *found;
    }
    const std::size_t count = is_tuple_ ? values_.sequence().items.size() : 1;
    if (used_ > count) throw bad_input("the format has more places than there are values");
    return is_tuple_ ? values_.sequence().items[used_ - 1] : values_;
  }

  void write(const Conversion& conversion) {
    switch (conversion.kind) {
      case '%':
        return out_.append("%");
      case 's':
      case 'r':
        return write_text(conversion, value_of(conversion));
      case 'd':
      case 'i':
        return write_decimal(conversion, value_of(conversion));
      case 'x':
      case 'X':
      case 'o':
        return write_number(conversion, value_of(conversion), true);
      case 'f':
      case 'F':
      case 'e':
      case 'E':
      case 'g':
      case 'G':
        return write_number(conversion, value_of(conversion), false);
      default:
        throw bad_input("the conversion %{} is not supported", conversion.kind);
    }
  }

  void write_text(const Conversion& conversion, const Value& value) {
    BoundedText text(heap_);
    if (conversion.kind == 's') {
      append_text(text, value);
    } else {
      append_repr(text, value);
    }
    std::string_view shown = text.text();
    if (conversion.precision) {
      shown = shown.substr(0, byte_offset(shown, static_cast<std::size_t>(*conversion.precision)));
    }
    pad(conversion, shown);
  }

  // %d takes floats too and cuts them off.
  void write_decimal(const Conversion& conversion, const Value& value) {
    if (!value.is(Value::Kind::real)) return write_number(conversion, value, true);
    const double whole = std::trunc(value.as_real());
    if (!(std::abs(whole) < 9e18)) throw bad_input("%d does not take {}", real_text(whole));
    write_number(conversion, Value::integer(static_cast<std::int64_t>(whole)), true);
  }

  void write_number(const Conversion& conversion, const Value& value, bool integer) {
    if (value.is(Value::Kind::undefined)) refuse_undefined(value);
    if (integer ? !value.is_integer() : !value.is_number()) {
      throw bad_input("%{} does not take {}", conversion.kind, value.type());
    }
    if (integer) {
      out_.append(integer_text(conversion, value.as_integer()));
    } else {
      out_.append(print_real(conversion, value.as_real()));
    }
  }

  // Python writes the sign apart: -255 in hexadecimal is -ff.
  static std::string integer_text(const Conversion& conversion, std::int64_t value) {
    const std::uint64_t size =
        value < 0 ? -static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value);
    std::string digits;
    switch (conversion.kind) {
      case 'x':
        digits = fmt::format("{:x}", size);
        break;
      case 'X':
        digits = fmt::format("{:X}", size);
        break;
      case 'o':
        digits = fmt::format("{:o}", size);
        break;
      default:
        digits = std::to_string(size);
    }
    const auto least = static_cast<std::size_t>(conversion.precision.value_or(0));
    if (digits.size() < least) digits.insert(0, least - digits.size(), '0');
    return laid_out(conversion, sign_of(conversion, value < 0) + prefix_of(conversion), digits);
  }

  static std::string print_real(const Conversion& conversion, double value) {
    const std::string format =
        fmt::format("%{}.*{}", has(conversion, '#') ? "#" : "", conversion.kind);
    const int precision = static_cast<int>(conversion.precision.value_or(6));
    std::string digits(2 * kWidest, '\0');
    const int size =
        std::snprintf(digits.data(), digits.size(), format.c_str(), precision, std::abs(value));
    digits.resize(static_cast<std::size_t>(size));
    return laid_out(conversion, sign_of(conversion, std::signbit(value) && !std::isnan(value)),
                    digits);
  }

  static bool has(const Conversion& conversion, char flag) {
    return conversion.flags.find(flag) != std::string::npos;
  }

  static std::string sign_of(const Conversion& conversion, bool negative) {
    if (negative) return "-";
    return has(conversion, '+') ? "+" : has(conversion, ' ') ? " " : "";
  }

  static std::string prefix_of(const Conversion& conversion) {
    const std::string_view kinds = "xXo";
    if (!has(conversion, '#') || kinds.find(conversion.kind) == std::string_view::npos) return "";
    return std::string("0") + conversion.kind;
  }

  static std::string laid_out(const Conversion& conversion, const std::string& sign,
                              const std::string& digits) {
    const auto width = static_cast<std::size_t>(conversion.width);
    const std::size_t size = sign.size() + digits.size();
    const std::size_t more = size < width ? width - size : 0;
    if (has(conversion, '-')) return sign + digits + std::string(more, ' ');
    if (has(conversion, '0')) return sign + std::string(more, '0') + digits;
    return std::string(more, ' ') + sign + digits;
  }

  void pad(const Conversion& conversion, std::string_view text) {
    const std::size_t size = count_code_points(text);
    const auto width = static_cast<std::size_t>(conversion.width);
    const std::size_t more = size < width ? width - size : 0;
    const bool left = has(conversion, '-');
    if (!left) out_.append(more, ' ');
    out_.append(text);
    if (left) out_.append(more, ' ');
  }

  Heap& heap_;
  BoundedText out_;
  std::string_view rest_;
  const Value& values_;
  bool is_tuple_ = false;
  std::size_t used_ = 0;
};

}  // namespace

Value format_text(Heap& heap, std::string_view format, const Value& values) {
  return Formatter(heap, format, values).run();
}

}  // namespace terse::chat
