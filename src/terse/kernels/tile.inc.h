// The inner loops of the matrix product: a few rows times a few vectors of columns.
#pragma once

#include "terse/kernels/simd.inc.h"

namespace terse::kernels {
namespace {

constexpr int kPanelVectors = static_cast<int>(kPanelWidth) / kLanes;
/// Rows and vectors whose sums fill the registers, with room for a row of w and a value of a.
constexpr int kRegisters = kLanes == 16 ? 32 : 16;
constexpr int kTileVectors = 2;
constexpr int kTileRows = kLanes == 16 ? 12 : 6;

/// Rows of a product packed by chunks, as TileProduct says.
struct PackedRows {
  const float* values;
  std::int64_t chunk;
};

/// Columns: vector v of row k is at values + k * pitch + (v / kPanelVectors) * panel
/// + (v % kPanelVectors) * kLanes.
template <class T>
struct Columns {
  const T* values;
  std::int64_t pitch;
  std::int64_t panel;
};

/// Asks for the row that is needed soon. Without it the processor's own prefetching keeps up with
/// memory for one or two rows, not for more (measured: 12 rows gain half of their speed).
template <int V, class T>
inline void prefetch(const T* row, const Columns<T>& w) {
  constexpr int kDistance = 2048;
  constexpr int kLine = 64;
  constexpr int kBytes =
      static_cast<int>(sizeof(T)) * kLanes * (V < kPanelVectors ? V : kPanelVectors);
  TERSE_UNROLL for (int v = 0; v < V; v += kPanelVectors) {
    const char* ahead = reinterpret_cast<const char*>(row + v / kPanelVectors * w.panel);
    TERSE_UNROLL for (int line = 0; line < kBytes; line += kLine) {
      __builtin_prefetch(ahead + kDistance + line);
    }
  }
}

/// y[0..R, 0..V * kLanes) += sum over k in [begin, end) of a[r, k] w[k, c]. `w` begins at row
/// `begin`. Each element is one chain of fma over ascending k. `Far`: w may lie in memory, not in
/// the first-level cache.
template <int R, int V, bool Far = true, class T>
inline void multiply_add(PackedRows a, std::int64_t begin, std::int64_t end, Columns<T> w, float* y,
                         std::int64_t y_stride, bool accumulate) {
  Floats sum[R][V];
  TERSE_UNROLL for (int r = 0; r < R; ++r) {
    TERSE_UNROLL for (int v = 0; v < V; ++v) {
      sum[r][v] = accumulate ? load(y + r * y_stride + v * kLanes) : Floats{};
    }
  }
  const T* row = w.values;
  for (std::int64_t k = begin; k < end;) {
    const std::int64_t chunk = k / kChunk;
    const std::int64_t stop = (chunk + 1) * kChunk < end ? (chunk + 1) * kChunk : end;
    const float* values = a.values + chunk * a.chunk + k % kChunk;
    for (; k < stop; ++k, ++values, row += w.pitch) {
      if constexpr (Far) prefetch<V>(row, w);
      Floats columns[V];
      TERSE_UNROLL for (int v = 0; v < V; ++v) {
        columns[v] = load(row + (v / kPanelVectors) * w.panel + (v % kPanelVectors) * kLanes);
      }
      TERSE_UNROLL for (int r = 0; r < R; ++r) {
        const Floats value = splat(values[r * kChunk]);
        TERSE_UNROLL for (int v = 0; v < V; ++v) sum[r][v] = fma(value, columns[v], sum[r][v]);
      }
    }
  }
  TERSE_UNROLL for (int r = 0; r < R; ++r) {
    TERSE_UNROLL for (int v = 0; v < V; ++v) store(y + r * y_stride + v * kLanes, sum[r][v]);
  }
}

/// One panel, or `P` neighbouring panels, for R rows.
template <int R, int P, class T>
void multiply_panels(const TileProduct& job, const T* w, float* y, std::int64_t y_stride) {
  constexpr int kWhole = P * kPanelVectors;
  constexpr int kVectors = R * kWhole + kPanelVectors < kRegisters ? kWhole : kTileVectors;
  const PackedRows a{job.a, job.a_chunk};
  for (int v = 0; v < kWhole; v += kVectors) {
    const Columns<T> columns{w + v * kLanes, kPanelWidth, job.w_panel};
    multiply_add<R, kVectors>(a, 0, job.depth, columns, y + v * kLanes, y_stride, job.accumulate);
  }
}

/// The last columns, fewer than a panel has, by way of a whole panel of sums.
template <int R, class T>
void multiply_last_columns(const TileProduct& job, const T* w, float* y, std::int64_t columns) {
  float sums[R * kPanelWidth];
  if (job.accumulate) {
    for (std::int64_t r = 0; r < R; ++r) {
      for (std::int64_t c = 0; c < kPanelWidth; ++c) {
        sums[r * kPanelWidth + c] = c < columns ? y[r * job.y_stride + c] : 0.0F;
      }
    }
  }
  multiply_panels<R, 1>(job, w, sums, kPanelWidth);
  for (std::int64_t r = 0; r < R; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) {
      y[r * job.y_stride + c] = sums[r * kPanelWidth + c];
    }
  }
}

/// Few rows take several panels at once: their sums are independent chains, enough of them to hide
/// the latency of a multiply-add.
template <int R, class T>
void multiply_rows(const TileProduct& job) {
  constexpr int kWanted = 8;
  constexpr int kPanels = R * kPanelVectors < kWanted ? kWanted / (R * kPanelVectors) : 1;
  const T* w = static_cast<const T*>(job.w);
  std::int64_t c = 0;
  for (; c + kPanels * kPanelWidth <= job.columns; c += kPanels * kPanelWidth) {
    multiply_panels<R, kPanels>(job, w, job.y + c, job.y_stride);
    w += kPanels * job.w_panel;
  }
  if constexpr (kPanels > 1) {
    for (; c + kPanelWidth <= job.columns; c += kPanelWidth, w += job.w_panel) {
      multiply_panels<R, 1>(job, w, job.y + c, job.y_stride);
    }
  }
  if (c < job.columns) multiply_last_columns<R>(job, w, job.y + c, job.columns - c);
}

template <class T, int R = 1>
void multiply_tile(const TileProduct& job) {
  if (job.rows == R) {
    multiply_rows<R, T>(job);
  } else if constexpr (R < kTileRows) {
    multiply_tile<T, R + 1>(job);
  }
}

/// `count` is a multiple of the panel width.
template <class T>
void to_float(const void* values, std::int64_t count, float* out) {
  const T* from = static_cast<const T*>(values);
  for (std::int64_t i = 0; i < count; i += kLanes) store(out + i, load(from + i));
}

}  // namespace
}  // namespace terse::kernels
