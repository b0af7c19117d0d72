#include "terse/eval/memory_bandwidth.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <numeric>
#include <vector>

#include "terse/core/threads.h"

namespace terse {

double memory_bandwidth() {
  constexpr std::int64_t kWords = std::int64_t{1} << 25;  // 256 MiB
  constexpr std::int64_t kTile = 1 << 15;
  constexpr int kPasses = 5;
  std::vector<std::uint64_t> words(kWords, 1);
  using Clock = std::chrono::steady_clock;
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    std::atomic<std::uint64_t> total = 0;  // so that the reading cannot be left out
    const Clock::time_point start = Clock::now();
    parallel_tiles(kWords, kTile, [&](std::int64_t first, std::int64_t count) {
      const auto begin = words.begin() + first;
      total += std::accumulate(begin, begin + count, std::uint64_t{0});
    });
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    if (total == kWords) best = std::max(best, sizeof(std::uint64_t) * kWords / seconds);
  }
  return best;
}

}  // namespace terse
