// What benchmarks share that hold two ways of doing something against each other, one after the
// other in every iteration, so that both see the same machine.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <random>
#include <span>
#include <vector>

#include "terse/core/threads.h"

namespace terse::bench {

using Floats = std::vector<float>;

inline Floats random_floats(std::int64_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
  Floats values(static_cast<std::size_t>(count));
  for (float& value : values) value = uniform(generator);
  return values;
}

/// Seconds of `body`: on one thread its processor time, which other work on the machine disturbs
/// little; on several the time that passes.
template <class Body>
double seconds_of(const Body& body) {
  const auto now = [] {
    timespec time{};
    clock_gettime(thread_count() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double begin = now();
  body();
  return now() - begin;
}

/// Uses so many threads as long as it lives.
class Threads {
 public:
  explicit Threads(std::int64_t count) { set_thread_count(static_cast<int>(count)); }
  ~Threads() { set_thread_count(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_ = thread_count();
};

/// Runs both in every iteration. Counters: `work` (of one iteration) per second of each, under the
/// names given, and `ratio`, ours over the other in speed.
template <class Ours, class Theirs>
void beside(benchmark::State& state, double work, const char* our_name, const Ours& ours,
            const char* their_name, const Theirs& theirs) {
  double our_seconds = 0;
  double their_seconds = 0;
  for (auto _ : state) {
    const double seconds = seconds_of(ours);
    their_seconds += seconds_of(theirs);
    our_seconds += seconds;
    state.SetIterationTime(seconds);
  }
  const double all = work * static_cast<double>(state.iterations());
  state.counters[our_name] = all / our_seconds;
  state.counters[their_name] = all / their_seconds;
  state.counters["ratio"] = their_seconds / our_seconds;
}

/// Reads bytes; the sum keeps the compiler from leaving that out.
[[gnu::target_clones("default", "avx2", "avx512f")]] inline std::uint64_t read(
    const std::byte* bytes, std::int64_t size) {
  constexpr int kWords = 32;
  std::uint64_t sums[kWords] = {};
  for (std::int64_t i = 0; i + kWords * 8 <= size; i += kWords * 8) {
    const auto* words = reinterpret_cast<const std::uint64_t*>(bytes + i);
    for (int j = 0; j < kWords; ++j) sums[j] += words[j];
  }
  std::uint64_t sum = 0;
  for (const std::uint64_t part : sums) sum += part;
  return sum;
}

/// On all threads.
inline void read_all(const std::byte* bytes, std::size_t size) {
  parallel_tiles(static_cast<std::int64_t>(size), std::int64_t{1} << 18,
                 [&](std::int64_t first, std::int64_t count) {
                   benchmark::DoNotOptimize(read(bytes + first, count));
                 });
}

}  // namespace terse::bench
