#include "terse/formats/bit_packing.h"

namespace terse {

std::int64_t packed_words(std::int64_t count, int bits, BitPacking packing) {
  if (packing == BitPacking::dense) return (count * bits + 31) / 32;
  const std::int64_t elements_per_word = 32 / bits;
  return (count + elements_per_word - 1) / elements_per_word;
}

void pack_line_dense(const std::uint8_t* values, std::int64_t stride, std::int64_t count, int bits,
                     std::uint32_t* words, std::int64_t word_stride) {
  std::uint64_t pending = 0;
  int pending_bits = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    pending |= static_cast<std::uint64_t>(values[i * stride]) << pending_bits;
    pending_bits += bits;
    if (pending_bits < 32) continue;
    *words = static_cast<std::uint32_t>(pending);
    words += word_stride;
    pending >>= 32;
    pending_bits -= 32;
  }
  if (pending_bits > 0) *words = static_cast<std::uint32_t>(pending);
}

void unpack_line(const std::uint32_t* words, std::int64_t word_stride, std::int64_t count, int bits,
                 BitPacking packing, std::uint8_t* values, std::int64_t stride) {
  const std::uint64_t mask = (std::uint64_t{1} << bits) - 1;
  std::uint64_t pending = 0;
  int pending_bits = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    if (pending_bits < bits) {
      // What is left of a padded word is padding; of a dense one, the low bits of the element.
      if (packing == BitPacking::padded) pending = pending_bits = 0;
      pending |= static_cast<std::uint64_t>(*words) << pending_bits;
      pending_bits += 32;
      words += word_stride;
    }
    values[i * stride] = static_cast<std::uint8_t>(pending & mask);
    pending >>= bits;
    pending_bits -= bits;
  }
}

}  // namespace terse
