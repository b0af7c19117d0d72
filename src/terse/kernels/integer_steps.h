// The codes of a step of an integer panel (integer_panel.h): put in their places, and found there.
#pragma once

#include <cstddef>
#include <cstdint>

namespace terse::kernels {

/// Codes, and bytes, of a cell.
inline constexpr std::int64_t kCell = 64;

/// Puts the codes [32 rows][16 columns] of a step in their places; a row begins `stride` bytes
/// after the one before.
void pack_step(const std::uint8_t* codes, std::int64_t stride, int bits, std::uint8_t* step);

/// The same for two steps of 4 bits, 32 columns, from rows of nibbles (core/code_rows.h).
void pack_nibbles(const std::byte* rows, std::int64_t stride, std::uint8_t* steps);

/// The code of a row, 0 to 31, and a column of a step.
std::uint8_t code_in_step(const std::uint8_t* step, int bits, std::int64_t row,
                          std::int64_t column);

}  // namespace terse::kernels
