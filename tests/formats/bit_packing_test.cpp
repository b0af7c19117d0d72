#include "terse/formats/bit_packing.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace terse {
namespace {

TEST(BitPacking, CodesOfALineAreUnpackedAsElementByElement) {
  std::mt19937 generator(1);
  for (int bits = 2; bits <= 8; ++bits) {
    for (const BitPacking packing : {BitPacking::dense, BitPacking::padded}) {
      for (std::int64_t count = 1; count < 70; ++count) {
        std::vector<std::uint32_t> words(
            static_cast<std::size_t>(packed_words(count, bits, packing)));
        for (std::uint32_t& word : words) word = generator();
        std::vector<std::uint8_t> expected(static_cast<std::size_t>(count));
        unpack_line(words.data(), 1, count, bits, packing, expected.data(), 1);
        std::vector<std::uint8_t> codes(expected.size());
        unpack_codes(std::as_bytes(std::span(words)), count, bits, packing, codes.data());
        EXPECT_EQ(codes, expected) << bits << " bits, " << count << " codes";
      }
    }
  }
}

}  // namespace
}  // namespace terse
