#include "terse/formats/bit_packing.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

namespace terse {
namespace {

static_assert(std::endian::native == std::endian::little);

/// Of every `room` bits the lowest hold two fields of `width` bits: moves the second to the middle.
/// `ones` has a 1 at the beginning of every room.
std::uint64_t split(std::uint64_t fields, int width, int room, std::uint64_t ones) {
  const std::uint64_t first = ((std::uint64_t{1} << width) - 1) * ones;
  return (fields & first) | ((fields & (first << width)) << (room / 2 - width));
}

/// Eight elements of `bits` bits side by side, each to the low bits of a byte of its own.
std::uint64_t spread(std::uint64_t packed, int bits) {
  packed = split(packed, 4 * bits, 64, 1);
  packed = split(packed, 2 * bits, 32, 0x0000000100000001U);
  return split(packed, bits, 16, 0x0001000100010001U);
}

/// Eight elements, or the last `count`, from the first of `bytes` bytes.
void unpack_eight(const std::byte* from, std::size_t bytes, int bits, std::size_t count,
                  std::uint8_t* codes) {
  std::uint64_t packed = 0;
  std::memcpy(&packed, from, bytes);
  const std::uint64_t spread_codes = spread(packed, bits);
  std::memcpy(codes, &spread_codes, count);
}

}  // namespace

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

void unpack_codes(std::span<const std::byte> words, std::int64_t count, int bits,
                  BitPacking packing, std::uint8_t* codes) {
  if (packing == BitPacking::padded && 32 % bits != 0) {
    std::vector<std::uint32_t> aligned(
        static_cast<std::size_t>(packed_words(count, bits, packing)));
    std::memcpy(aligned.data(), words.data(), aligned.size() * sizeof(std::uint32_t));
    return unpack_line(aligned.data(), 1, count, bits, packing, codes, 1);
  }
  const std::byte* from = words.data();
  const std::byte* end = from + packed_words(count, bits, packing) * 4;
  std::int64_t i = 0;
  for (; i + 8 <= count && end - from >= 8; i += 8, from += bits) {
    unpack_eight(from, 8, bits, 8, codes + i);
  }
  for (; i < count; i += 8, from += bits) {
    unpack_eight(from, static_cast<std::size_t>(std::min<std::ptrdiff_t>(end - from, 8)), bits,
                 static_cast<std::size_t>(std::min<std::int64_t>(count - i, 8)), codes + i);
  }
}

}  // namespace terse
