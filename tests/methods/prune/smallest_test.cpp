#include "terse/methods/prune/smallest.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "methods/prune/prune_support.h"

namespace terse::testing {
namespace {

using Values = std::vector<float>;

// Indices of the `count` smallest |x|, among equals the earlier, by sorting. Bits are compared, as
// denormal values are all equal to a thread that flushes them.
std::vector<std::size_t> sorted_smallest(const Values& values, std::int64_t count) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, [&](std::size_t i) {
    return std::bit_cast<std::uint32_t>(values[i]) & 0x7fffffffU;
  });
  order.resize(static_cast<std::size_t>(count));
  std::ranges::sort(order);
  return order;
}

std::vector<Values> random_values() {
  const Matrix smooth = random_matrix(1, 5000, 1);
  const Matrix coarse = (random_matrix(1, 5000, 2, 3.0).array().round() / 8.0F);
  const Matrix tiny = random_matrix(1, 5000, 3, 1e-38);
  std::vector<Values> all;
  for (const Matrix& m : {smooth, coarse, tiny}) all.emplace_back(m.data(), m.data() + m.size());
  all.emplace_back(5000, 1.5F);
  all.emplace_back(5000, 0.0F);
  all.back()[77] = std::numeric_limits<float>::infinity();
  all.back()[78] = -0.0F;
  return all;
}

constexpr std::int64_t kCounts[] = {0, 1, 2, 77, 2500, 4999, 5000};

TEST(Smallest, OfOneRunAreThoseOfSorting) {
  for (const Values& values : random_values()) {
    for (const std::int64_t count : kCounts) {
      std::vector<std::size_t> found;
      for_smallest(values, find_smallest(values, count),
                   [&](std::size_t i) { found.push_back(i); });
      EXPECT_EQ(found, sorted_smallest(values, count)) << count;
    }
  }
}

TEST(Smallest, OfManyPartsAreThoseOfSorting) {
  for (const Values& values : random_values()) {
    // Parts of different lengths, some empty.
    std::vector<std::span<const float>> parts;
    std::vector<std::size_t> begins;
    for (std::size_t begin = 0, size = 0; begin < values.size(); begin += size, size += 13) {
      const std::size_t length = std::min(size, values.size() - begin);
      begins.push_back(begin);
      parts.push_back(std::span(values).subspan(begin, length));
    }
    for (const std::int64_t count : kCounts) {
      const std::vector<Smallest> smallest = find_smallest(parts, count);
      std::vector<std::size_t> found;
      for (std::size_t p = 0; p < parts.size(); ++p) {
        for_smallest(parts[p], smallest[p], [&](std::size_t i) { found.push_back(begins[p] + i); });
      }
      EXPECT_EQ(found, sorted_smallest(values, count)) << count;
    }
  }
}

TEST(Smallest, WhatIsNoNumberComesLast) {
  const Values values{std::nanf(""), 5.0F, -std::nanf(""), std::numeric_limits<float>::infinity()};
  std::vector<std::size_t> found;
  for_smallest(values, find_smallest(values, 2), [&](std::size_t i) { found.push_back(i); });
  EXPECT_EQ(found, (std::vector<std::size_t>{1, 3}));
}

}  // namespace
}  // namespace terse::testing
