// Attention of one tile of query rows, panel of 32 positions by panel: scores of the panel, their
// exponentials less the largest score so far, and the sum of values that they weigh; what was
// summed before is made smaller when a larger score comes (FlashAttention, arXiv 2205.14135,
// section 3.1). A panel is made float32 once, in the first-level cache, for all rows and all heads
// that share it. Query t of a tile is head t % heads of row t / heads.
//
// Why a row does not depend on its neighbours: panels lie at fixed positions; a score is one chain
// over the components; positions that a row does not see have the score -infinity, whose
// exponential is 0 in the sum; and an output is one chain over the row's own positions in ascending
// order. Where not all rows see a whole panel its values are added row by row, so that nothing, not
// even 0 times an unwritten value, enters a row that does not see them.
#pragma once

#include "terse/kernels/math.inc.h"
#include "terse/kernels/tile.inc.h"

namespace terse::kernels {
namespace {

inline std::int64_t smaller(std::int64_t a, std::int64_t b) {
  return a < b ? a : b;
}

inline std::int64_t larger(std::int64_t a, std::int64_t b) {
  return a > b ? a : b;
}

struct Range {
  std::int64_t begin;
  std::int64_t end;
};

/// Keys [width, 32] and values [32, width].
struct FloatPanel {
  const float* keys;
  const float* values;
};

inline void widen_matrix(const std::byte* from, std::int64_t count, float* out) {
  const Float16* values = reinterpret_cast<const Float16*>(from);
  for (std::int64_t i = 0; i < count; i += kLanes) store(out + i, load(values + i));
}

/// A matrix of a panel of integers: [rows, columns] in groups of columns.
template <int Bits>
void dequantize_matrix(const std::byte* from, std::int64_t rows, std::int64_t columns,
                       std::int64_t group, float* out) {
  constexpr int kTogether = 8 / Bits;
  constexpr int kMask = (1 << Bits) - 1;
  constexpr int kRows = 16;
  const std::int64_t grids = rows * (columns / group);
  const Float16* scales = reinterpret_cast<const Float16*>(from);
  const std::byte* codes = from + 2 * grids * sizeof(Float16);
  for (std::int64_t at = 0; at < columns; at += group) {
    for (std::int64_t row = 0; row < rows; row += kRows) {
      float scale[kRows];
      float low[kRows];
      const Float16* grid = scales + at / group * rows + row;
      for (int r = 0; r < kRows; r += kLanes) {
        store(scale + r, load(grid + r));
        store(low + r, load(grid + grids + r));
      }
      for (int r = 0; r < kRows; r += kTogether) {
        const std::byte* line = codes + (row + r) / kTogether * columns + at;
        float* to = out + (row + r) * columns + at;
        for (std::int64_t c = 0; c < group; c += kLanes) {
          const Ints bytes = load_bytes(line + c);
          TERSE_UNROLL for (int j = 0; j < kTogether; ++j) {
            const Ints code = (bytes >> (j * Bits)) & kMask;
            store(to + j * columns + c, fma(__builtin_convertvector(code, Floats),
                                            splat(scale[r + j]), splat(low[r + j])));
          }
        }
      }
    }
  }
}

template <int Bits>
FloatPanel dequantize(const CachePanelFormat& format, const std::byte* panel,
                      const AttentionScratch& scratch) {
  dequantize_matrix<Bits>(panel, format.width, kCachePanel, kCachePanel, scratch.keys);
  dequantize_matrix<Bits>(panel + format.values_at, kCachePanel, format.width, format.group,
                          scratch.values);
  return {scratch.keys, scratch.values};
}

/// A panel in float32: where it lies, or in scratch.
inline FloatPanel float_panel(const CachePanelFormat& format, const std::byte* panel,
                              const AttentionScratch& scratch) {
  switch (format.type) {
    case CacheType::f32:
      return {reinterpret_cast<const float*>(panel),
              reinterpret_cast<const float*>(panel + format.values_at)};
    case CacheType::f16:
      widen_matrix(panel, format.head_dim * kCachePanel, scratch.keys);
      widen_matrix(panel + format.values_at, kCachePanel * format.width, scratch.values);
      return {scratch.keys, scratch.values};
    case CacheType::bits8:
      return dequantize<8>(format, panel, scratch);
    case CacheType::bits4:
      return dequantize<4>(format, panel, scratch);
    case CacheType::bits2:
      return dequantize<2>(format, panel, scratch);
  }
  return {};
}

/// Positions that a row sees.
inline Range visible(const Attention& job, std::int64_t row) {
  const std::int64_t end = job.position + row + 1;
  return {job.window > 0 ? larger(0, end - job.window) : 0, end};
}

/// Those of a panel that begins at `first`, counted from there; none where begin >= end.
inline Range visible_in(const Attention& job, std::int64_t row, std::int64_t first) {
  const Range seen = visible(job, row);
  return {larger(seen.begin - first, 0), smaller(seen.end - first, kCachePanel)};
}

/// multiply_add for a number of rows known at run time.
template <int V, int Most, int R = 1>
void multiply_add_rows(std::int64_t rows, PackedRows a, Range k, Columns<float> w, float* y,
                       std::int64_t y_stride, bool accumulate) {
  if (rows == R) {
    multiply_add<R, V, false>(a, k.begin, k.end, w, y, y_stride, accumulate);
  } else if constexpr (R < Most) {
    multiply_add_rows<V, Most, R + 1>(rows, a, k, w, y, y_stride, accumulate);
  }
}

/// y [rows, columns] (+)= a w over `k`, for rows that fit the registers; w begins at row k.begin.
/// Few rows take more columns at once, for enough independent chains.
inline void multiply_columns(std::int64_t rows, PackedRows a, Range k, const float* w,
                             std::int64_t columns, float* y, std::int64_t y_stride,
                             bool accumulate) {
  constexpr int kFew = kTileRows / 3;
  constexpr int kWide = 2 * kTileVectors;
  std::int64_t c = 0;
  for (; rows <= kFew && c + kWide * kLanes <= columns; c += kWide * kLanes) {
    multiply_add_rows<kWide, kFew>(rows, a, k, {w + c, columns, 0}, y + c, y_stride, accumulate);
  }
  for (; c + kTileVectors * kLanes <= columns; c += kTileVectors * kLanes) {
    multiply_add_rows<kTileVectors, kTileRows>(rows, a, k, {w + c, columns, 0}, y + c, y_stride,
                                               accumulate);
  }
  for (; c < columns; c += kLanes) {
    multiply_add_rows<1, kTileRows>(rows, a, k, {w + c, columns, 0}, y + c, y_stride, accumulate);
  }
}

/// Calls body(first, count) for tiles of [0, queries) that are as even as can be.
template <class Body>
inline void for_query_tiles(std::int64_t queries, const Body& body) {
  const std::int64_t tiles = (queries + kTileRows - 1) / kTileRows;
  for (std::int64_t i = 0; i < tiles; ++i) {
    const std::int64_t first = i * queries / tiles;
    body(first, (i + 1) * queries / tiles - first);
  }
}

class TileAttention {
 public:
  TileAttention(const Attention& job, const AttentionScratch& scratch)
      : job_(job), format_(*job.cache.format), scratch_(scratch), queries_(job.rows * job.heads) {}

  void run() {
    begin();
    const std::int64_t own = job_.position / kCachePanel;
    for (std::int64_t p = visible(job_, 0).begin / kCachePanel; p < own; ++p) {
      add_panel(p * kCachePanel,
                float_panel(format_, job_.cache.panels[p] + job_.cache.offset, scratch_));
    }
    add_panel(own * kCachePanel, float_panel(*job_.cache.own_format, job_.cache.own, scratch_));
    finish();
  }

 private:
  /// Queries times scale, packed by chunks; nothing seen yet.
  void begin() {
    for (std::int64_t t = 0; t < queries_; ++t) {
      const float* q = job_.q + t / job_.heads * job_.q_stride + t % job_.heads * format_.head_dim;
      for (std::int64_t i = 0; i < format_.head_dim; ++i) {
        scratch_.queries[(i / kChunk * queries_ + t) * kChunk + i % kChunk] = q[i] * job_.scale;
      }
      scratch_.largest[t] = -__builtin_inff();
      scratch_.totals[t] = 0;
    }
    for (std::int64_t i = 0; i < queries_ * format_.width; ++i) scratch_.sums[i] = 0;
  }

  void add_panel(std::int64_t first, FloatPanel panel) {
    for_query_tiles(queries_, [&](std::int64_t t, std::int64_t count) {
      const PackedRows a{scratch_.queries + t * kChunk, queries_ * kChunk};
      multiply_columns(count, a, {0, format_.head_dim}, panel.keys, kCachePanel, scores(t),
                       kCachePanel, false);
    });
    bool all = true;
    for (std::int64_t row = 0; row < job_.rows; ++row) {
      const Range seen = visible_in(job_, row, first);
      if (seen.begin > 0 || seen.end < kCachePanel) all = false;
      if (seen.begin >= seen.end) continue;
      for (std::int64_t h = 0; h < job_.heads; ++h) exponentiate(row * job_.heads + h, seen);
    }
    if (all) {
      for_query_tiles(queries_, [&](std::int64_t t, std::int64_t count) {
        add_values(t, count, {0, kCachePanel}, panel);
      });
      return;
    }
    for (std::int64_t row = 0; row < job_.rows; ++row) {
      const Range seen = visible_in(job_, row, first);
      if (seen.begin >= seen.end) continue;
      for_query_tiles(job_.heads, [&](std::int64_t h, std::int64_t count) {
        add_values(row * job_.heads + h, count, seen, panel);
      });
    }
  }

  /// Turns the scores of a query into e^(score - largest so far) and brings its sums to that.
  void exponentiate(std::int64_t t, Range seen) {
    float* values = scores(t);
    const float lowest = -__builtin_inff();
    for (std::int64_t p = 0; p < seen.begin; ++p) values[p] = lowest;
    for (std::int64_t p = seen.end; p < kCachePanel; ++p) values[p] = lowest;
    const float before = scratch_.largest[t];
    const float here = max_value(values, kCachePanel);
    const float largest = here > before ? here : before;
    Doubles sum{};
    for (int i = 0; i < kCachePanel; i += kLanes) {
      store(values + i, exponential(load(values + i) - largest));
      sum += load_doubles(values + i) + load_doubles(values + i + kLanes / 2);
    }
    if (largest > before) shrink(t, exponential(splat(before - largest)));
    scratch_.largest[t] = largest;
    scratch_.totals[t] += total(sum);
  }

  void shrink(std::int64_t t, Floats factor) {
    scratch_.totals[t] *= factor[0];
    float* out = sums(t);
    for (std::int64_t c = 0; c < format_.width; c += kLanes) store(out + c, load(out + c) * factor);
  }

  void add_values(std::int64_t t, std::int64_t count, Range seen, FloatPanel panel) {
    multiply_columns(count, {scores(t), 0}, seen, panel.values + seen.begin * format_.width,
                     format_.width, sums(t), format_.width, true);
  }

  void finish() {
    for (std::int64_t t = 0; t < queries_; ++t) {
      const float factor = static_cast<float>(1.0 / scratch_.totals[t]);
      float* out = job_.out + t / job_.heads * job_.out_stride + t % job_.heads * format_.head_dim;
      for (std::int64_t i = 0; i < format_.head_dim; ++i) out[i] = sums(t)[i] * factor;
    }
  }

  float* scores(std::int64_t t) const { return scratch_.scores + t * kCachePanel; }
  float* sums(std::int64_t t) const { return scratch_.sums + t * format_.width; }

  const Attention& job_;
  const CachePanelFormat& format_;
  const AttentionScratch& scratch_;
  std::int64_t queries_;
};

void attend(const Attention& job, const AttentionScratch& scratch) {
  TileAttention(job, scratch).run();
}

}  // namespace
}  // namespace terse::kernels
