// The bits of a step of 16 columns of a panel (integer_panel.h).
#pragma once

#include <cstdint>

namespace terse::kernels {

/// Puts codes [32][16] of `bits` bits in their planes: 64 * bits bytes.
void pack_step(const std::uint8_t* codes, int bits, std::uint8_t* step);

/// One of them: row below 32, column below 16.
std::uint8_t code_in_step(const std::uint8_t* step, int bits, std::int64_t row,
                          std::int64_t column);

}  // namespace terse::kernels
