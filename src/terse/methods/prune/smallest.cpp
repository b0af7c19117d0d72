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
using Histogram = std::array<std::uint32_t, kBins>;  // of fewer than 2^32 values

// Parts that one thread counts at a time.
constexpr std::int64_t kChunks = 16;

// The threshold among `bits`, which are reordered; `count` >= 1 of them are wanted.
Smallest threshold_of(std::vector<std::uint32_t>& bits, std::int64_t count) {
  const auto nth = bits.begin() + (count - 1);
  std::nth_element(bits.begin(), nth, bits.end());
  const auto below = std::count_if(bits.begin(), nth, [&](auto other) { return other < *nth; });
  return {*nth, count - below};
}

// The same where `equal` of the values are at the threshold.
Smallest without_ties(Smallest smallest, std::int64_t equal) {
  return smallest.ties == equal ? Smallest{smallest.threshold + 1, 0} : smallest;
}

struct Bin {
  std::uint32_t index;
  std::int64_t count;  // how many of its values are wanted
};

// The bin that holds the value of rank `count`.
Bin find_bin(std::span<const Histogram> histograms, std::int64_t count) {
  for (std::size_t bin = 0; bin < kBins; ++bin) {
    std::int64_t values = 0;
    for (const Histogram& histogram : histograms) values += histogram[bin];
    if (values >= count) return {static_cast<std::uint32_t>(bin), count};
    count -= values;
  }
  return {kBins - 1, count};
}

void count_bins(std::span<const float> values, Histogram& histogram) {
  for (const float value : values) ++histogram[magnitude_bits(value) >> kBinShift];
}

// The bits of the values in a bin, in their order.
std::vector<std::uint32_t> values_in(std::span<const float> values, std::uint32_t bin) {
  std::vector<std::uint32_t> found;
  for (const float value : values) {
    const std::uint32_t bits = magnitude_bits(value);
    if (bits >> kBinShift == bin) found.push_back(bits);
  }
  return found;
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
    count_bins(parts[part], histograms[chunk]);
  });
  return find_bin(histograms, count);
}

}  // namespace

Smallest find_smallest(std::span<const float> values, std::int64_t count) {
  if (count <= 0) return {};
  Histogram histogram{};
  count_bins(values, histogram);
  const Bin bin = find_bin({&histogram, 1}, count);
  std::vector<std::uint32_t> candidates = values_in(values, bin.index);
  const Smallest smallest = threshold_of(candidates, bin.count);
  return without_ties(smallest, std::ranges::count(candidates, smallest.threshold));
}

// One comparison for each value without a branch: which ones are small is unpredictable.
void zero_smallest(std::span<const float> scores, Smallest smallest, std::span<float> row) {
  if (smallest.ties > 0) {
    return for_smallest(scores, smallest, [&](std::size_t i) { row[i] = 0.0F; });
  }
  for (std::size_t i = 0; i < row.size(); ++i) {
    row[i] = magnitude_bits(scores[i]) < smallest.threshold ? 0.0F : row[i];
  }
}

std::vector<Smallest> find_smallest(const Parts& parts, std::int64_t count) {
  std::vector<Smallest> result(parts.size());
  if (count <= 0) return result;
  const Bin bin = find_bin(parts, count);
  std::vector<std::vector<std::uint32_t>> candidates(parts.size());
  for_parts(parts, [&](std::size_t, std::size_t part) {
    candidates[part] = values_in(parts[part], bin.index);
  });
  std::vector<std::uint32_t> all;
  for (const auto& some : candidates) all.insert(all.end(), some.begin(), some.end());
  const Smallest whole = threshold_of(all, bin.count);
  std::int64_t left = whole.ties;
  for (std::size_t part = 0; part < parts.size(); ++part) {
    const auto equal = std::ranges::count(candidates[part], whole.threshold);
    const std::int64_t ties = std::min<std::int64_t>(equal, left);
    result[part] = without_ties({whole.threshold, ties}, equal);
    left -= ties;
  }
  return result;
}

}  // namespace terse
