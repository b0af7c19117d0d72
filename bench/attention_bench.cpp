// Attention beside its two limits: for a prompt, the same products by OpenBLAS over whole matrices
// with a softmax between; for one token, reading the keys and values. Every iteration runs both,
// one after the other; `ratio` is ours over the other in speed. Results and commands: gemm.md.
#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <span>
#include <string>

#include "beside.h"
#include "terse/kernels/aligned.h"
#include "terse/kernels/attention.h"
#include "terse/kernels/instruction_set.h"
#include "terse/kernels/vector_math.h"

namespace terse {
namespace {

using namespace bench;  // NOLINT(google-build-using-namespace)

/// Queries, keys and values of `heads` heads, each [positions, head_dim], and a cache of the keys
/// and values with as many key-value heads. Panels of all heads lie together, as in a sequence.
struct Heads {
  Heads(kernels::CacheType type, std::int64_t head_count, std::int64_t position_count,
        std::int64_t size)
      : heads(head_count),
        positions(position_count),
        head_dim(size),
        q(random_floats(heads * positions * head_dim, 1)),
        keys(random_floats(heads * positions * head_dim, 2)),
        values(random_floats(heads * positions * head_dim, 3)),
        out(q.size()),
        format(kernels::cache_panel_format(type, head_dim)),
        cache(static_cast<std::size_t>(positions / kernels::kCachePanel * heads * format.bytes)) {
    for (std::int64_t panel = 0; panel < positions / kernels::kCachePanel; ++panel) {
      panels.push_back(&cache[panel * heads * format.bytes]);
      for (std::int64_t head = 0; head < heads; ++head) fill(panel, head);
    }
  }

  void fill(std::int64_t panel, std::int64_t head) {
    const std::int64_t first = of_head(head) + panel * kernels::kCachePanel * head_dim;
    const auto store = [&](const kernels::CachePanelFormat& in, std::byte* to) {
      for (std::int64_t slot = 0; slot < kernels::kCachePanel; ++slot) {
        const std::int64_t at = first + slot * head_dim;
        kernels::store_in_panel(in, slot, &keys[at], &values[at], to);
      }
    };
    std::byte* to = &cache[(panel * heads + head) * format.bytes];
    if (format.type == kernels::CacheType::f32 || format.type == kernels::CacheType::f16) {
      return store(format, to);
    }
    const auto half = kernels::cache_panel_format(kernels::CacheType::f16, head_dim);
    kernels::AlignedVector<std::byte> floats(static_cast<std::size_t>(half.bytes));
    store(half, floats.data());
    kernels::quantize_panel(format, floats.data(), to);
  }

  /// Every row as if its own panel were held like the others.
  kernels::HeadCache head(std::int64_t index, std::int64_t position) const {
    const std::int64_t offset = index * format.bytes;
    return {&format, panels.data(), offset, &format,
            panels[position / kernels::kCachePanel] + offset};
  }

  std::int64_t of_head(std::int64_t head) const { return head * positions * head_dim; }
  float scale() const { return 1 / std::sqrt(static_cast<float>(head_dim)); }

  std::int64_t heads;
  std::int64_t positions;
  std::int64_t head_dim;
  Floats q;
  Floats keys;
  Floats values;
  Floats out;
  kernels::CachePanelFormat format;
  kernels::AlignedVector<std::byte> cache;
  std::vector<const std::byte*> panels;
};

/// Rows of one query head over each key-value head.
void attend_rows(Heads& h, std::int64_t head, std::int64_t position, std::int64_t rows) {
  const std::int64_t row = h.of_head(head) + position * h.head_dim;
  kernels::attend({.q = &h.q[row],
                   .q_stride = h.head_dim,
                   .rows = rows,
                   .heads = 1,
                   .position = position,
                   .cache = h.head(head, position),
                   .scale = h.scale(),
                   .window = 0,
                   .out = &h.out[row],
                   .out_stride = h.head_dim});
}

/// One row of eight query heads, those that follow one another in memory, over a key-value head.
void attend_token(Heads& h, std::int64_t head) {
  constexpr std::int64_t kShared = 8;
  kernels::attend({.q = h.q.data(),
                   .q_stride = kShared * h.head_dim,
                   .rows = 1,
                   .heads = kShared,
                   .position = h.positions - 1,
                   .cache = h.head(head, h.positions - 1),
                   .scale = h.scale(),
                   .window = 0,
                   .out = h.out.data() + head * h.head_dim * kShared,
                   .out_stride = kShared * h.head_dim});
}

void attend_prompt(Heads& h) {
  const std::int64_t rows = kernels::attention_rows(1);
  const std::int64_t tiles = h.positions / rows;
  parallel_for(h.heads * tiles,
               [&](std::int64_t i) { attend_rows(h, i / tiles, i % tiles * rows, rows); });
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
  Heads h(kernels::CacheType::f32, 32, state.range(0), state.range(1));
  const Threads threads(state.range(2));
  // Half of the two products: a row sees the positions up to its own.
  const double work = 2e-9 * static_cast<double>(h.heads * h.positions * h.positions * h.head_dim);
  beside(
      state, work, "gflops", [&] { attend_prompt(h); }, "openblas",
      [&] { attend_prompt_with_openblas(h); });
}

/// Positions, head size, bits, threads; 256 key-value heads (64 blocks of 4), whose cache is larger
/// than that of a core, each for 8 query heads, beside reading the cache.
void token_beside_reading(benchmark::State& state) {
  const std::map<std::int64_t, kernels::CacheType> types{{32, kernels::CacheType::f32},
                                                         {16, kernels::CacheType::f16},
                                                         {8, kernels::CacheType::bits8},
                                                         {4, kernels::CacheType::bits4},
                                                         {2, kernels::CacheType::bits2}};
  Heads h(types.at(state.range(2)), 256, state.range(0), state.range(1));
  const Threads threads(state.range(3));
  beside(
      state, 1e-9 * static_cast<double>(h.cache.size()), "GB/s",
      [&] { parallel_for(h.heads, [&](std::int64_t head) { attend_token(h, head); }); }, "read",
      [&] { read_all(h.cache.data(), h.cache.size()); });
}

BENCHMARK(prompt_beside_openblas)
    ->ArgNames({"positions", "head_dim", "threads"})
    ->ArgsProduct({{128, 512, 2048}, {64, 128}, {1, 2}})
    ->UseManualTime();
BENCHMARK(token_beside_reading)
    ->ArgNames({"positions", "head_dim", "bits", "threads"})
    ->ArgsProduct({{512, 2048}, {64, 128}, {32, 16, 8, 4, 2}, {1, 2}})
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
