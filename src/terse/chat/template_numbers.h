// Numbers as Python reads and rounds them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace terse::chat {

/// Python's int(text, base) and float(text); nothing when the text is none or, of an integer, needs
/// more than 63 bits. `base` is 0 or 2 to 36.
std::optional<std::int64_t> parse_integer(std::string_view text, int base);
std::optional<double> parse_real(std::string_view text);

/// Python's round(value, digits): to the nearest, ties to even, by the exact binary value.
double rounded(double value, std::int64_t digits);

}  // namespace terse::chat
