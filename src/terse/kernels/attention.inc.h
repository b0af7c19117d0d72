// Attention of one tile of query rows, panel of 32 positions by panel: scores of the panel, their
// exponentials less the largest score so far, and the sum of values that they weigh; what was
// summed before is made smaller when a larger score comes (FlashAttention, arXiv 2205.14135,
// section 3.1). A panel is read from memory once for all rows and all heads that share it, and
// where it is not float32 made so once, in the first-level cache (few queries widen float16 on the
// way). Query t of a tile is head t % heads of row t / heads.
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
template <class T>
struct Panel {
  const T* keys;
  const T* values;
};

/// Queries whose sums are in registers at a time (measured: 4 are nearer to the limit of AVX2 than
/// the 6 of a product of large matrices).
constexpr int kQueryTile = kLanes == 16 ? 8 : 4;

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
Panel<float> dequantize(const CachePanelFormat& format, const std::byte* panel,
                        const AttentionScratch& scratch) {
  dequantize_matrix<Bits>(panel, format.width, kCachePanel, kCachePanel, scratch.keys);
  dequantize_matrix<Bits>(panel + format.values_at, kCachePanel, format.width, format.group,
                          scratch.values);
  return {scratch.keys, scratch.values};
}

inline Panel<float> widen(const CachePanelFormat& format, const std::byte* panel,
                          const AttentionScratch& scratch) {
  widen_matrix(panel, format.head_dim * kCachePanel, scratch.keys);
  widen_matrix(panel + format.values_at, kCachePanel * format.width, scratch.values);
  return {scratch.keys, scratch.values};
}

template <class T>
Panel<T> in_place(const CachePanelFormat& format, const std::byte* panel) {
  return {reinterpret_cast<const T*>(panel), reinterpret_cast<const T*>(panel + format.values_at)};
}

/// Calls body with a panel that products can read: where it lies if it is of float32, or of float16
/// and read so few times that widening it on the way costs nothing; else made float32 in scratch.
template <class Body>
inline void with_panel(const CachePanelFormat& format, const std::byte* panel, std::int64_t queries,
                       const AttentionScratch& scratch, const Body& body) {
  switch (format.type) {
    case CacheType::f32:
      return body(in_place<float>(format, panel));
    case CacheType::f16:
      if (queries <= 2 * kQueryTile) return body(in_place<Float16>(format, panel));
      return body(widen(format, panel, scratch));
    case CacheType::bits8:
      return body(dequantize<8>(format, panel, scratch));
    case CacheType::bits4:
      return body(dequantize<4>(format, panel, scratch));
    case CacheType::bits2:
      return body(dequantize<2>(format, panel, scratch));
  }
}

/// The upper half of the lanes beside the lower.
struct Halves {
  HalfFloats lower;
  HalfFloats upper;
};

inline Halves halves(Floats value) {
  Halves parts;
  __builtin_memcpy(&parts, &value, sizeof parts);
  return parts;
}

inline float largest_lane(Floats value) {
  const Halves parts = halves(value);
  const HalfFloats most = parts.upper > parts.lower ? parts.upper : parts.lower;
  float result = most[0];
  for (int i = 1; i < kLanes / 2; ++i) result = most[i] > result ? most[i] : result;
  return result;
}

inline double sum_of_lanes(Floats value) {
  const Halves parts = halves(value);
  return total(__builtin_convertvector(parts.lower, Doubles) +
               __builtin_convertvector(parts.upper, Doubles));
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
template <int V, int Most, int R = 1, class T>
void multiply_add_rows(std::int64_t rows, PackedRows a, Range k, Columns<T> w, float* y,
                       std::int64_t y_stride, bool accumulate) {
  if (rows == R) {
    multiply_add<R, V, false>(a, k.begin, k.end, w, y, y_stride, accumulate);
  } else if constexpr (R < Most) {
    multiply_add_rows<V, Most, R + 1>(rows, a, k, w, y, y_stride, accumulate);
  }
}

/// y [rows, columns] (+)= a w over `k`, for at most kQueryTile rows; w begins at row k.begin. Fewer
/// rows take more columns at once, for enough independent chains.
template <class T>
inline void multiply_columns(std::int64_t rows, PackedRows a, Range k, const T* w,
                             std::int64_t columns, float* y, std::int64_t y_stride,
                             bool accumulate) {
  constexpr int kFew = kQueryTile / 2;
  constexpr int kWide = 2 * kTileVectors;
  const auto at = [&](std::int64_t c) { return Columns<T>{w + c, columns, 0}; };
  std::int64_t c = 0;
  for (; rows <= kFew && c + kWide * kLanes <= columns; c += kWide * kLanes) {
    multiply_add_rows<kWide, kFew>(rows, a, k, at(c), y + c, y_stride, accumulate);
  }
  for (; c + kTileVectors * kLanes <= columns; c += kTileVectors * kLanes) {
    multiply_add_rows<kTileVectors, kQueryTile>(rows, a, k, at(c), y + c, y_stride, accumulate);
  }
  for (; c < columns; c += kLanes) {
    multiply_add_rows<1, kQueryTile>(rows, a, k, at(c), y + c, y_stride, accumulate);
  }
}

/// Calls body(first, count) for tiles of [0, queries) that are as even as can be.
template <class Body>
inline void for_query_tiles(std::int64_t queries, const Body& body) {
  const std::int64_t tiles = (queries + kQueryTile - 1) / kQueryTile;
  for (std::int64_t i = 0; i < tiles; ++i) {
    const std::int64_t first = i * queries / tiles;
    body(first, (i + 1) * queries / tiles - first);
  }
}

class TileAttention {
 public:
  TileAttention(const Attention& job, const AttentionScratch& scratch)
      : job_(job),
        format_(*job.cache.format),
        scratch_(scratch),
        queries_(job.rows * job.heads),
        lines_(format_.bytes / 64 / queries_ + 1) {}

  void run() {
    begin();
    const std::int64_t own = job_.position / kCachePanel;
    for (std::int64_t p = visible(job_, 0).begin / kCachePanel; p < own; ++p) {
      next_ = job_.cache.panels[p + 1 < own ? p + 1 : p] + job_.cache.offset;
      take(p, format_, job_.cache.panels[p] + job_.cache.offset);
    }
    next_ = nullptr;
    take(own, *job_.cache.own_format, job_.cache.own);
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

  void take(std::int64_t index, const CachePanelFormat& format, const std::byte* panel) {
    with_panel(format, panel, queries_, scratch_,
               [&](auto numbers) { add_panel(index * kCachePanel, numbers); });
  }

  template <class T>
  void add_panel(std::int64_t first, Panel<T> panel) {
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
      for (std::int64_t h = 0; h < job_.heads; ++h) {
        if (next_ != nullptr) prefetch_next(row * job_.heads + h);
        exponentiate(row * job_.heads + h, seen);
      }
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
    float* at = scores(t);
    const float lowest = -__builtin_inff();
    for (std::int64_t p = 0; p < seen.begin; ++p) at[p] = lowest;
    for (std::int64_t p = seen.end; p < kCachePanel; ++p) at[p] = lowest;
    Floats values[kPanelVectors];
    TERSE_UNROLL for (int v = 0; v < kPanelVectors; ++v) values[v] = load(at + v * kLanes);
    Floats most = values[0];
    TERSE_UNROLL for (int v = 1; v < kPanelVectors; ++v) most = larger(values[v], most);
    const float before = scratch_.largest[t];
    const float here = largest_lane(most);
    const float largest = here > before ? here : before;
    Floats sum{};
    TERSE_UNROLL for (int v = 0; v < kPanelVectors; ++v) {
      values[v] = exponential(values[v] - largest);
      store(at + v * kLanes, values[v]);
      sum += values[v];
    }
    if (largest > before) shrink(t, exponential(splat(before - largest)));
    scratch_.largest[t] = largest;
    scratch_.totals[t] += sum_of_lanes(sum);
  }

  /// Asks for a part of the next panel. A burst for all of it would hold up what is computed, and
  /// without it float16 waits for memory (measured: a fifth of its time).
  void prefetch_next(std::int64_t t) {
    constexpr std::int64_t kLine = 64;
    const std::int64_t end = smaller((t + 1) * lines_, format_.bytes / kLine);
    for (std::int64_t line = t * lines_; line < end; ++line) {
      __builtin_prefetch(next_ + line * kLine);
    }
  }

  void shrink(std::int64_t t, Floats factor) {
    scratch_.totals[t] *= factor[0];
    float* out = sums(t);
    for (std::int64_t c = 0; c < format_.width; c += kLanes) store(out + c, load(out + c) * factor);
  }

  template <class T>
  void add_values(std::int64_t t, std::int64_t count, Range seen, Panel<T> panel) {
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
  std::int64_t lines_;               // of a panel, for each query
  const std::byte* next_ = nullptr;  // the panel after the one at hand, to be asked for
};

void attend(const Attention& job, const AttentionScratch& scratch) {
  TileAttention(job, scratch).run();
}

}  // namespace
}  // namespace terse::kernels
