// Integer codes of a matrix, read row by row from wherever they are.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace terse {

struct CodeRows {
  /// Writes the codes of a row, a byte each. Safe on several threads at once.
  std::function<void(std::int64_t row, std::uint8_t* out)> row = {};

  /// Where codes of 4 bits lie two to a byte, the first in the lower bits: each row
  /// `nibble_stride` bytes after the one before. Null where they do not.
  const std::byte* nibbles = nullptr;
  std::int64_t nibble_stride = 0;

  /// Codes [rows, columns] in memory, a byte each.
  static CodeRows of_bytes(const std::uint8_t* codes, std::int64_t columns) {
    return {[codes, columns](std::int64_t row, std::uint8_t* out) {
      std::copy_n(codes + row * columns, columns, out);
    }};
  }
};

}  // namespace terse
