// The float32 product beside OpenBLAS, and the product of one row beside reading the same memory.
// Every iteration runs both, one after the other, so that both see the same machine; `ratio` is
// ours over the other in speed. Results and commands: gemm.md.
#include <benchmark/benchmark.h>
#include <cblas.h>

#include <algorithm>
#include <ctime>
#include <random>
#include <string>
#include <vector>

#include "terse/core/tensor.h"
#include "terse/core/threads.h"
#include "terse/kernels/instruction_set.h"
#include "terse/kernels/panels.h"

namespace terse {
namespace {

using Floats = std::vector<float>;

Floats random_floats(std::int64_t count, unsigned seed) {
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

/// Rows, n, k, threads.
void product_beside_openblas(benchmark::State& state, DType dtype) {
  const int threads = thread_count();
  set_thread_count(static_cast<int>(state.range(3)));
  const std::int64_t rows = state.range(0);
  const std::int64_t n = state.range(1);
  const std::int64_t k = state.range(2);
  const Floats x = random_floats(rows * k, 1);
  const Floats w = random_floats(n * k, 2);
  Floats y(static_cast<std::size_t>(rows * n));
  const auto panels = kernels::Panels::pack(Tensor::from_floats(dtype, {n, k}, w));
  double ours = 0;
  double theirs = 0;
  for (auto _ : state) {
    const double a = seconds_of([&] { kernels::multiply(x.data(), k, rows, panels, y.data(), n); });
    const double b = seconds_of([&] {
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(rows),
                  static_cast<int>(n), static_cast<int>(k), 1.0F, x.data(), static_cast<int>(k),
                  w.data(), static_cast<int>(k), 0.0F, y.data(), static_cast<int>(n));
    });
    ours += a;
    theirs += b;
    state.SetIterationTime(a);
  }
  const double work = 2e-9 * static_cast<double>(rows * n * k * state.iterations());
  state.counters["gflops"] = work / ours;
  state.counters["openblas"] = work / theirs;
  state.counters["ratio"] = theirs / ours;
  set_thread_count(threads);
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

void read_all(const kernels::Panels& w) {
  constexpr std::int64_t kTile = 1 << 20;
  const auto size = static_cast<std::int64_t>(w.bytes());
  parallel_for((size + kTile - 1) / kTile, [&](std::int64_t i) {
    benchmark::DoNotOptimize(read(w.panel(0) + i * kTile, std::min(kTile, size - i * kTile)));
  });
}

/// Rows, n, k, threads. Weights of a gigabyte in turn, as decoding reads them.
void product_beside_reading(benchmark::State& state, DType dtype) {
  const std::int64_t rows = state.range(0);
  const std::int64_t n = state.range(1);
  const std::int64_t k = state.range(2);
  const int threads = thread_count();
  set_thread_count(static_cast<int>(state.range(3)));
  constexpr std::size_t kBytes = std::size_t{1} << 30;
  const Tensor tensor = Tensor::from_floats(dtype, {n, k}, random_floats(n * k, 2));
  std::vector<kernels::Panels> weights(kBytes / tensor.bytes().size());
  for (auto& w : weights) w = kernels::Panels::pack(tensor);
  const Floats x = random_floats(rows * k, 1);
  Floats y(static_cast<std::size_t>(rows * n));
  double ours = 0;
  double theirs = 0;
  for (auto _ : state) {
    const double a = seconds_of([&] {
      for (const auto& w : weights) kernels::multiply(x.data(), k, rows, w, y.data(), n);
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

void large_products(benchmark::internal::Benchmark* bench) {
  for (const std::int64_t threads : {1, 2}) {
    for (const std::int64_t rows : {64, 512, 2048}) {
      bench->Args({rows, 2048, 2048, threads});
      bench->Args({rows, 5632, 2048, threads});
      bench->Args({rows, 2048, 5632, threads});
    }
  }
  bench->ArgNames({"rows", "n", "k", "threads"})->UseManualTime();
}

void few_rows(benchmark::internal::Benchmark* bench) {
  for (const std::int64_t threads : {1, 2}) {
    for (const std::int64_t rows : {1, 4, 12}) bench->Args({rows, 2048, 5632, threads});
  }
  bench->ArgNames({"rows", "n", "k", "threads"})->UseManualTime()->Iterations(2);
}

BENCHMARK_CAPTURE(product_beside_openblas, f32, DType::f32)->Apply(large_products);
BENCHMARK_CAPTURE(product_beside_openblas, bf16, DType::bf16)->Apply(large_products);
BENCHMARK_CAPTURE(product_beside_reading, f32, DType::f32)->Apply(few_rows);
BENCHMARK_CAPTURE(product_beside_reading, bf16, DType::bf16)->Apply(few_rows);
BENCHMARK_CAPTURE(product_beside_reading, f16, DType::f16)->Apply(few_rows);

}  // namespace
}  // namespace terse

int main(int argc, char** argv) {
  terse::check_blas();
  terse::flush_denormals();
  benchmark::AddCustomContext(
      "instruction_set",
      std::string(terse::kernels::instruction_set_name(terse::kernels::instruction_set())));
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
