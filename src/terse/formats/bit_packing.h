// Small unsigned integers packed into 32-bit words, as compressed-tensors stores them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace terse {

/// Where element i of a line of B-bit elements lies, lowest bits of a word first. The two differ
/// only for widths that do not divide 32.
enum class BitPacking {
  dense,  ///< At bit i * B of the line; elements may straddle words. What is written today.
  padded  ///< 32 / B whole elements a word, the rest of each word unused. Files before June 2026.
};

/// Words that a line of `count` elements takes. count * bits must fit 63 bits.
std::int64_t packed_words(std::int64_t count, int bits, BitPacking packing);

/// Packs `count` elements, `stride` apart, into words `word_stride` apart; unused bits are zero.
void pack_line_dense(const std::uint8_t* values, std::int64_t stride, std::int64_t count, int bits,
                     std::uint32_t* words, std::int64_t word_stride);

/// The reverse, for either packing. `words` are packed_words(count, bits, packing) words.
void unpack_line(const std::uint32_t* words, std::int64_t word_stride, std::int64_t count, int bits,
                 BitPacking packing, std::uint8_t* values, std::int64_t stride);

/// unpack_line of neighbouring elements, faster. `words` are those of the line in little-endian
/// order, wherever they lie, and may go on after it.
void unpack_codes(std::span<const std::byte> words, std::int64_t count, int bits,
                  BitPacking packing, std::uint8_t* codes);

}  // namespace terse
