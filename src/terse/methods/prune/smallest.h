// Which of many values are the smallest: what every score of pruning ends in.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "terse/methods/prune/pruning_options.h"

namespace terse {

/// |x| as an integer of the same order; that of NaN is above all others.
inline std::uint32_t magnitude_bits(float x) {
  return std::bit_cast<std::uint32_t>(x) & 0x7fffffffU;
}

/// The smallest of a run of values: those of magnitude_bits below `threshold`, and the first `ties`
/// of those equal to it. Where all that are equal are taken, `ties` is 0 and the threshold is above
/// them: nothing need be counted then.
struct Smallest {
  std::uint32_t threshold = 0;
  std::int64_t ties = 0;
};

/// The `count` values of smallest |x|, among equals the earlier; count is at most their number.
Smallest find_smallest(std::span<const float> values, std::int64_t count);

/// The same over all parts together, as what it means for each part. All threads.
std::vector<Smallest> find_smallest(const std::vector<std::span<const float>>& parts,
                                    std::int64_t count);

/// Sets the elements of `row` to zero whose scores are the smallest; the scores may be the row.
void zero_smallest(std::span<const float> scores, Smallest smallest, std::span<float> row);

/// Calls body(i) for the index of every value that is one of the smallest.
template <class Body>
void for_smallest(std::span<const float> values, Smallest smallest, const Body& body) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint32_t bits = magnitude_bits(values[i]);
    if (bits < smallest.threshold || (bits == smallest.threshold && smallest.ties-- > 0)) body(i);
  }
}

/// The `pattern.zeros` values of smallest |x| in every `pattern.size`, among equals the earlier;
/// calls body(i) for the index of each. The size divides the number of values.
template <class Body>
void for_smallest(std::span<const float> values, const ZeroPattern& pattern, const Body& body) {
  const auto size = static_cast<std::size_t>(pattern.size);
  for (std::size_t first = 0; first < values.size(); first += size) {
    const auto group = values.subspan(first, size);
    for (std::size_t j = 0; j < size; ++j) {
      const std::uint32_t own = magnitude_bits(group[j]);
      std::int64_t rank = 0;
      for (std::size_t i = 0; i < size; ++i) {
        const std::uint32_t other = magnitude_bits(group[i]);
        rank += other < own || (other == own && i < j) ? 1 : 0;
      }
      if (rank < pattern.zeros) body(first + j);
    }
  }
}

}  // namespace terse
