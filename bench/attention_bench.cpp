// Attention beside its two limits: for a prompt, the same products by OpenBLAS over whole matrices
// with a softmax between; for one token, reading the keys and values. Every iteration runs both,
// one after the other; `ratio` is ours over the other in speed. Results and commands: gemm.md.
#include <benchmark/benchmark.h>
#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <random>
#include <string>
#include <vector>

#include "terse/core/threads.h"
#include "terse/kernels/attention.h"
#include "terse/kernels/instruction_set.h"
#include "terse/kernels/vector_math.h"

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

/// Queries, keys and values of `heads` heads, each [positions, head_dim]. The contents of the
/// packed keys do not matter for time, so one buffer serves both layouts.
struct Heads {
  Heads(std::int64_t head_count, std::int64_t position_count, std::int64_t size)
      : heads(head_count),
        positions(position_count),
        head_dim(size),
        q(random_floats(heads * positions * head_dim, 1)),
        keys(random_floats(heads * positions * head_dim, 2)),
        values(random_floats(heads * positions * head_dim, 3)),
        out(q.size()) {}

  std::int64_t of_head(std::int64_t head) const { return head * positions * head_dim; }
  float scale() const { return 1 / std::sqrt(static_cast<float>(head_dim)); }

  std::int64_t heads;
  std::int64_t positions;
  std::int64_t head_dim;
  Floats q;
  Floats keys;
  Floats values;
  Floats out;
};

void attend_rows(Heads& h, std::int64_t head, std::int64_t position, std::int64_t rows,
                 Floats& scratch) {
  scratch.resize(static_cast<std::size_t>(kernels::attention_scratch(h.positions)));
  const std::int64_t base = h.of_head(head);
  const std::int64_t row = base + position * h.head_dim;
  kernels::attend(&h.q[row], h.head_dim, rows, position, {&h.keys[base], &h.values[base]},
                  h.head_dim, h.scale(), 0, scratch.data(), &h.out[row], h.head_dim);
}

void attend_prompt(Heads& h) {
  const std::int64_t tiles = h.positions / kernels::kAttentionRows;
  parallel_for(h.heads * tiles, [&](std::int64_t i) {
    thread_local Floats scratch;
    attend_rows(h, i / tiles, i % tiles * kernels::kAttentionRows, kernels::kAttentionRows,
                scratch);
  });
}

void attend_prompt_with_openblas(Heads& h) {
  const auto n = static_cast<int>(h.positions);
  const auto d = static_cast<int>(h.head_dim);
  parallel_for(h.heads, [&](std::int64_t head) {
    thread_local Floats scores;
    scores.resize(static_cast<std::size_t>(h.positions * h.positions));
    const std::int64_t base = h.of_head(head);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, n, d, h.scale(), &h.q[base], d,
                &h.keys[base], d, 0.0F, scores.data(), n);
    for (std::int64_t r = 0; r < h.positions; ++r) {
      float* row = &scores[r * h.positions];
      kernels::softmax(row, r + 1);
      std::fill(row + r + 1, row + h.positions, 0.0F);
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, d, n, 1.0F, scores.data(), n,
                &h.values[base], d, 0.0F, &h.out[base], d);
  });
}

/// Positions, head size, threads; 32 heads.
void prompt_beside_openblas(benchmark::State& state) {
  Heads h(32, state.range(0), state.range(1));
  const int threads = thread_count();
  set_thread_count(static_cast<int>(state.range(2)));
  double ours = 0;
  double theirs = 0;
  for (auto _ : state) {
    const double a = seconds_of([&] { attend_prompt(h); });
    theirs += seconds_of([&] { attend_prompt_with_openblas(h); });
    ours += a;
    state.SetIterationTime(a);
  }
  // Half of the two products: a row sees the positions up to its own.
  const double work = 2e-9 * static_cast<double>(h.heads * h.positions * h.positions * h.head_dim *
                                                 state.iterations());
  state.counters["gflops"] = work / ours;
  state.counters["ratio"] = theirs / ours;
  set_thread_count(threads);
}

[[gnu::target_clones("default", "avx2", "avx512f")]] float sum(const float* values,
                                                               std::int64_t size) {
  float sums[64] = {};
  for (std::int64_t i = 0; i + 64 <= size; i += 64) {
    for (int j = 0; j < 64; ++j) sums[j] += values[i + j];
  }
  float total = 0;
  for (const float part : sums) total += part;
  return total;
}

/// Positions, head size, threads; 256 heads (8 blocks of 32), whose cache is larger than that of a
/// core.
void token_beside_reading(benchmark::State& state) {
  Heads h(256, state.range(0), state.range(1));
  const int threads = thread_count();
  set_thread_count(static_cast<int>(state.range(2)));
  double ours = 0;
  double theirs = 0;
  for (auto _ : state) {
    const double a = seconds_of([&] {
      parallel_for(h.heads, [&](std::int64_t head) {
        thread_local Floats scratch;
        attend_rows(h, head, h.positions - 1, 1, scratch);
      });
    });
    theirs += seconds_of([&] {
      parallel_for(h.heads, [&](std::int64_t head) {
        const std::int64_t size = h.positions * h.head_dim;
        benchmark::DoNotOptimize(sum(&h.keys[h.of_head(head)], size) +
                                 sum(&h.values[h.of_head(head)], size));
      });
    });
    ours += a;
    state.SetIterationTime(a);
  }
  const double gigabytes =
      8e-9 * static_cast<double>(h.heads * h.positions * h.head_dim * state.iterations());
  state.counters["GB/s"] = gigabytes / ours;
  state.counters["read"] = gigabytes / theirs;
  state.counters["ratio"] = theirs / ours;
  set_thread_count(threads);
}

BENCHMARK(prompt_beside_openblas)
    ->ArgNames({"positions", "head_dim", "threads"})
    ->ArgsProduct({{128, 512, 2048}, {64, 128}, {1, 2}})
    ->UseManualTime();
BENCHMARK(token_beside_reading)
    ->ArgNames({"positions", "head_dim", "threads"})
    ->ArgsProduct({{512, 2048}, {64, 128}, {1, 2}})
    ->UseManualTime();

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
