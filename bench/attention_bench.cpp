// Attention beside its two limits: for a prompt, the same products by OpenBLAS over whole matrices
// with a softmax between; for one token, reading the keys and values. Every iteration runs both,
// one after the other; `ratio` is ours over the other in speed. Results and commands: gemm.md.
#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>

#include "beside.h"
#include "terse/kernels/attention.h"
#include "terse/kernels/instruction_set.h"
#include "terse/kernels/vector_math.h"

namespace terse {
namespace {

using namespace bench;  // NOLINT(google-build-using-namespace)

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
  const Threads threads(state.range(2));
  // Half of the two products: a row sees the positions up to its own.
  const double work = 2e-9 * static_cast<double>(h.heads * h.positions * h.positions * h.head_dim);
  beside(
      state, work, "gflops", [&] { attend_prompt(h); }, "openblas",
      [&] { attend_prompt_with_openblas(h); });
}

/// Positions, head size, threads; 256 heads (8 blocks of 32), whose cache is larger than that of a
/// core.
void token_beside_reading(benchmark::State& state) {
  Heads h(256, state.range(0), state.range(1));
  const Threads threads(state.range(2));
  const std::size_t bytes = h.keys.size() * sizeof(float);
  beside(
      state, 2e-9 * static_cast<double>(bytes), "GB/s",
      [&] {
        parallel_for(h.heads, [&](std::int64_t head) {
          thread_local Floats scratch;
          attend_rows(h, head, h.positions - 1, 1, scratch);
        });
      },
      "read",
      [&] {
        read_all(std::as_bytes(std::span(h.keys)).data(), bytes);
        read_all(std::as_bytes(std::span(h.values)).data(), bytes);
      });
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
