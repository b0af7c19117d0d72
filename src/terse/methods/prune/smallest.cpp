#include "terse/methods/prune/smallest.h"

#include <algorithm>
#include <array>

#include "terse/core/threads.h"

namespace terse {
namespace {

// Bins of a histogram: exponent and four bits of the mantissa. Few values share one with the
// threshold, and those are looked at again.
constexpr int kBinShift = 19;
constexpr std::size_t kBins = std::size_t{1} << (31 - kBinShift);
using Histogram = std::array<std::int64_t, kBins>;

// Parts that one thread counts at a time.
constexpr std::int64_t kChunks = 16;

// The threshold among `bits`, which are reordered; `count` >= 1 of them are wanted.
Smallest threshold_of(std::vector<std::uint32_t>& bits, std::int64_t count) {
  const auto nth = bits.begin() + (count - 1);
  std::nth_element(bits.begin(), nth, bits.end());
  const auto below = std::count_if(bits.begin(), nth, [&](auto other) { return other < *nth; });
  return {*nth, count - below};
}

struct Bin {
  std::uint32_t index;
  std::int64_t count;  // how many of its values are wanted
};

// The bin that holds the value of rank `count`.
Bin find_bin(const std::vector<Histogram>& histograms, std::int64_t count) {
  for (std::size_t bin = 0; bin < kBins; ++bin) {
    std::int64_t values = 0;
    for (const Histogram& histogram : histograms) values += histogram[bin];
    if (values >= count) return {static_cast<std::uint32_t>(bin), count};
    count -= values;
  }
  return {kBins - 1, count};
}

using Parts = std::vector<std::span<const float>>;

// Calls body(chunk, part) for all parts, those of a chunk on one thread and in order.
template <class Body>
void for_parts(const Parts& parts, const Body& body) {
  const auto count = static_cast<std::int64_t>(parts.size());
  parallel_for(kChunks, [&](std::int64_t chunk) {
    for (std::int64_t part = chunk * count / kChunks; part < (chunk + 1) * count / kChunks;
         ++part) {
      body(static_cast<std::size_t>(chunk), static_cast<std::size_t>(part));
    }
  });
}

Bin find_bin(const Parts& parts, std::int64_t count) {
  std::vector<Histogram> histograms(kChunks, Histogram{});
  for_parts(parts, [&](std::size_t chunk, std::size_t part) {
    Histogram& histogram = histograms[chunk];
    for (const float value : parts[part]) ++histogram[magnitude_bits(value) >> kBinShift];
  });
  return find_bin(histograms, count);
}

}  // namespace

Smallest find_smallest(std::span<const float> values, std::int64_t count) {
  if (count <= 0) return {};
  std::vector<std::uint32_t> bits(values.size());
  std::ranges::transform(values, bits.begin(), magnitude_bits);
  return threshold_of(bits, count);
}

std::vector<Smallest> find_smallest(const Parts& parts, std::int64_t count) {
  std::vector<Smallest> result(parts.size());
  if (count <= 0) return result;
  const Bin bin = find_bin(parts, count);
  std::vector<std::vector<std::uint32_t>> candidates(parts.size());
  for_parts(parts, [&](std::size_t, std::size_t part) {
    for (const float value : parts[part]) {
      const std::uint32_t bits = magnitude_bits(value);
      if (bits >> kBinShift == bin.index) candidates[part].push_back(bits);
    }
  });
  std::vector<std::uint32_t> all;
  for (const auto& some : candidates) all.insert(all.end(), some.begin(), some.end());
  const Smallest whole = threshold_of(all, bin.count);
  std::int64_t left = whole.ties;
  for (std::size_t part = 0; part < parts.size(); ++part) {
    const auto equal = std::ranges::count(candidates[part], whole.threshold);
    result[part] = {whole.threshold, std::min<std::int64_t>(equal, left)};
    left -= result[part].ties;
  }
  return result;
}

}  // namespace terse
