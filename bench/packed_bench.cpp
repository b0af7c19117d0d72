// Products with packed integer weights: one row beside reading the same memory, many rows beside
// oneDNN's integer product of the same shape (which has one scale for everything: no groups).
// Every iteration runs both, one after the other, so that both see the same machine; `ratio` is
// ours over the other in speed.
#include <benchmark/benchmark.h>
#include <dnnl.h>

#include <algorithm>
#include <ctime>
#include <random>
#include <vector>

#include "terse/core/threads.h"
#include "terse/kernels/packed_integers.h"

namespace terse {
namespace {

using kernels::InputGrid;
using kernels::PackedIntegers;

double now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

template <class Body>
double seconds_of(const Body& body) {
  const double begin = now();
  body();
  return now() - begin;
}

std::vector<float> random_floats(std::int64_t count) {
  std::mt19937 generator(1);
  std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = uniform(generator);
  return values;
}

PackedIntegers random_weight(std::int64_t n, std::int64_t k, int bits, std::int64_t group) {
  std::mt19937 generator(2);
  std::vector<std::uint8_t> codes(static_cast<std::size_t>(n * k));
  for (auto& code : codes) code = static_cast<std::uint8_t>(generator() >> (32 - bits));
  const std::vector<float> scales(static_cast<std::size_t>(n * k / group), 0.0078125F);
  return PackedIntegers::pack({.bits = bits,
                               .rows = n,
                               .columns = k,
                               .groups = k / group,
                               .codes = codes.data(),
                               .scales = scales.data(),
                               .group_stride = k / group,
                               .scale_dtype = DType::bf16});
}

/// Reads `size` bytes; the sum keeps the compiler from leaving that out.
[[gnu::target_clones("default", "avx2", "avx512f")]] std::uint64_t read(const std::byte* bytes,
                                                                        std::int64_t size) {
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

void read_all(const PackedIntegers& w) {
  constexpr std::int64_t kTile = 1 << 18;
  const auto size = static_cast<std::int64_t>(w.bytes());
  parallel_for((size + kTile - 1) / kTile, [&](std::int64_t i) {
    benchmark::DoNotOptimize(read(w.block(0, 0) + i * kTile, std::min(kTile, size - i * kTile)));
  });
}

/// Bits, group, threads. Weights of half a gigabyte in turn, as decoding reads them.
void one_row_beside_reading(benchmark::State& state) {
  constexpr std::int64_t kN = 5632;
  constexpr std::int64_t kK = 2048;
  const int threads = thread_count();
  set_thread_count(static_cast<int>(state.range(2)));
  std::vector<PackedIntegers> weights;
  weights.push_back(random_weight(kN, kK, static_cast<int>(state.range(0)), state.range(1)));
  while (weights.size() * weights[0].bytes() < std::size_t{1} << 29) weights.push_back(weights[0]);
  const std::vector<float> x = random_floats(kK);
  std::vector<float> y(kN);
  double ours = 0;
  double theirs = 0;
  for (auto _ : state) {
    const double a = seconds_of([&] {
      for (const auto& w : weights) {
        kernels::multiply_rounded(x.data(), kK, 1, w, InputGrid::block, 0, y.data(), kN);
      }
    });
    const double b = seconds_of([&] {
      for (const auto& w : weights) read_all(w);
    });
    ours += a;
    theirs += b;
    state.SetIterationTime(a);
  }
  const double gigabytes = 1e-9 * static_cast<double>(weights.size() * weights[0].bytes()) *
                           static_cast<double>(state.iterations());
  state.counters["GB/s"] = gigabytes / ours;
  state.counters["read"] = gigabytes / theirs;
  state.counters["ratio"] = theirs / ours;
  set_thread_count(threads);
}

/// Bits, group, n, k.
void many_rows_beside_onednn(benchmark::State& state) {
  constexpr std::int64_t kRows = 512;
  const std::int64_t n = state.range(2);
  const std::int64_t k = state.range(3);
  const PackedIntegers w = random_weight(n, k, static_cast<int>(state.range(0)), state.range(1));
  const std::vector<float> x = random_floats(kRows * k);
  std::vector<float> y(static_cast<std::size_t>(kRows * n));
  std::vector<std::int8_t> a(static_cast<std::size_t>(kRows * k), 3);
  std::vector<std::int8_t> b(static_cast<std::size_t>(n * k), 5);
  std::vector<std::int32_t> c(static_cast<std::size_t>(kRows * n));
  const std::int32_t offset = 0;
  double ours = 0;
  double theirs = 0;
  for (auto _ : state) {
    const double first = seconds_of([&] {
      kernels::multiply_rounded(x.data(), k, kRows, w, InputGrid::block, 0, y.data(), n);
    });
    const double second = seconds_of([&] {
      dnnl_gemm_u8s8s32('N', 'T', 'F', kRows, n, k, 1.0F,
                        reinterpret_cast<const std::uint8_t*>(a.data()), k, 0, b.data(), k, 0, 0.0F,
                        c.data(), n, &offset);
    });
    ours += first;
    theirs += second;
    state.SetIterationTime(first);
  }
  const double work = 2e-9 * static_cast<double>(kRows * n * k * state.iterations());
  state.counters["GOP/s"] = work / ours;
  state.counters["oneDNN"] = work / theirs;
  state.counters["ratio"] = theirs / ours;
}

BENCHMARK(one_row_beside_reading)
    ->ArgNames({"bits", "group", "threads"})
    ->UseManualTime()
    ->ArgsProduct({{2, 3, 4, 8}, {32, 128}, {1, 2}});
BENCHMARK(many_rows_beside_onednn)
    ->ArgNames({"bits", "group", "n", "k"})
    ->UseManualTime()
    ->ArgsProduct({{4, 8}, {32, 128}, {2048}, {2048}})
    ->ArgsProduct({{4, 8}, {32, 128}, {5632}, {2048}})
    ->ArgsProduct({{4, 8}, {32, 128}, {2048}, {5632}});

}  // namespace
}  // namespace terse

BENCHMARK_MAIN();
