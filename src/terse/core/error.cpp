#include "terse/core/error.h"

namespace terse {

std::string one_line(std::string_view text) {
  std::string line;
  for (const char symbol : text) {
    const auto code = static_cast<unsigned char>(symbol);
    if (code < 0x20 || code == 0x7f) {
      line += fmt::format("\\x{:02x}", code);
    } else {
      line += symbol;
    }
  }
  return line;
}

}  // namespace terse
