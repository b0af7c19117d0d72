#include "terse/eval/arithmetic_peak.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "terse/core/threads.h"
#include "terse/kernels/peak.h"

namespace terse {
namespace {

double peak_of(std::int64_t (*multiply)(std::int64_t)) {
  constexpr int kPasses = 20;
  constexpr std::int64_t kTiles = 64;  // of each thread: one that begins late does fewer
  constexpr std::int64_t kRounds = 1000;
  using Clock = std::chrono::steady_clock;
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    std::atomic<std::int64_t> multiply_adds = 0;
    const Clock::time_point start = Clock::now();
    parallel_for(kTiles * thread_count(),
                 [&](std::int64_t) { multiply_adds += multiply(kRounds); });
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::max(best, 2 * static_cast<double>(multiply_adds) / seconds);
  }
  return best;
}

}  // namespace

double byte_peak() {
  return peak_of(kernels::multiply_bytes);
}

double float_peak() {
  return peak_of(kernels::multiply_floats);
}

}  // namespace terse
