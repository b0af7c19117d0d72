#include "terse/tokenizer/byte_level.h"

#include <array>

#include "terse/tokenizer/unicode.h"

namespace terse {
namespace {

constexpr std::size_t kLast = 0x143;  // 256 + the 68 bytes that are not printable, less one

struct Tables {
  std::array<std::string, 256> character;
  std::array<int, kLast + 1> byte;

  Tables() {
    byte.fill(-1);
    char32_t next = 0x100;
    for (unsigned value = 0; value < 256; ++value) {
      const bool printable = (value >= '!' && value <= '~') || (value >= 0xa1 && value != 0xad);
      const char32_t stands = printable ? value : next++;
      append_utf8(character[value], stands);
      byte[stands] = static_cast<int>(value);
    }
  }
};

const Tables& tables() {
  static const Tables kTables;
  return kTables;
}

}  // namespace

std::string to_byte_characters(std::string_view bytes) {
  const auto& character = tables().character;
  std::string text;
  text.reserve(bytes.size() + bytes.size() / 4);
  for (const char byte : bytes) text += character[static_cast<unsigned char>(byte)];
  return text;
}

std::optional<std::string> from_byte_characters(std::string_view text) {
  const auto& byte = tables().byte;
  std::string bytes;
  bytes.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = read_utf8(text, at);
    at += step.length;
    if (step.value > kLast || byte[step.value] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(byte[step.value]));
  }
  return bytes;
}

}  // namespace terse
