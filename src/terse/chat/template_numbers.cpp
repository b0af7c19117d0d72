#include "terse/chat/template_numbers.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <string>

#include "terse/chat/code_points.h"
#include "terse/core/error.h"

namespace terse::chat {
namespace {

// Removes the sign; true when it was a minus.
bool take_sign(std::string_view& text) {
  const bool minus = text.starts_with('-');
  if (minus || text.starts_with('+')) text.remove_prefix(1);
  return minus;
}

// Underscores may stand between two digits.
std::optional<std::string> without_underscores(std::string_view text) {
  std::string digits;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      digits += text[i];
      continue;
    }
    const auto is_alnum = [&](std::size_t at) {
      return at < text.size() && std::isalnum(static_cast<unsigned char>(text[at])) != 0;
    };
    if (i == 0 || !is_alnum(i - 1) || !is_alnum(i + 1)) return std::nullopt;
  }
  return digits;
}

int prefixed_base(std::string_view text) {
  if (text.size() < 2 || text[0] != '0') return 10;
  switch (text[1] | 0x20) {
    case 'x':
      return 16;
    case 'o':
      return 8;
    case 'b':
      return 2;
    default:
      return 10;
  }
}

}  // namespace

std::optional<std::int64_t> parse_integer(std::string_view text, int base) {
  text = strip_end(strip_start(text));
  const bool minus = take_sign(text);
  const int prefix = prefixed_base(text);
  if (prefix != 10 && (base == 0 || base == prefix)) {
    base = prefix;
    text.remove_prefix(2);
    if (text.starts_with('_')) text.remove_prefix(1);
  } else if (base == 0) {
    base = 10;
  }
  const auto digits = without_underscores(text);
  if (!digits || digits->empty() || digits->front() == '-') return std::nullopt;
  std::int64_t value = 0;
  const auto read = std::from_chars(digits->data(), digits->data() + digits->size(), value, base);
  if (read.ec != std::errc() || read.ptr != digits->data() + digits->size()) return std::nullopt;
  return minus ? -value : value;
}

std::optional<double> parse_real(std::string_view text) {
  text = strip_end(strip_start(text));
  const bool minus = take_sign(text);
  const auto digits = without_underscores(text);
  if (!digits || digits->empty()) return std::nullopt;
  const char first = digits->front();
  // from_chars would take a second sign, and nan(...).
  if (first == '-' || digits->find('(') != std::string::npos) return std::nullopt;
  double value = 0;
  const char* end = digits->data() + digits->size();
  const auto read = std::from_chars(digits->data(), end, value);
  if (read.ptr != end) return std::nullopt;
  if (read.ec == std::errc::result_out_of_range) value = std::strtod(digits->c_str(), nullptr);
  return minus ? -value : value;
}

double rounded(double value, std::int64_t digits) {
  if (!std::isfinite(value) || digits > 323) return value;
  if (digits < 0) {
    const double unit = std::pow(10.0, static_cast<double>(-std::max<std::int64_t>(digits, -400)));
    return std::isfinite(unit) ? std::nearbyint(value / unit) * unit : std::copysign(0.0, value);
  }
  return std::strtod(fmt::format("{:.{}f}", value, digits).c_str(), nullptr);
}

}  // namespace terse::chat
