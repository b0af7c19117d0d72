// Attention of one tile of query rows: scores of all positions into scratch, softmax per row, then
// the weighted sum of values. Scores and probabilities lie as packed rows (tile.inc.h): row r,
// position p at [(p / 32 - first block) * rows * 32 + r * 32 + p % 32].
//
// Why a row does not depend on its neighbours: a score is one chain over the components, a row's
// softmax runs over the blocks of its own positions with those outside set to -infinity, whose
// exponential is 0 in the sum, and an output is one chain over the row's own positions in ascending
// order. Positions that only some rows see are added row by row, so that nothing, not even 0 times
// an unwritten value, enters a row that does not see them.
#pragma once

#include "terse/kernels/math.inc.h"
#include "terse/kernels/tile.inc.h"

namespace terse::kernels {
namespace {

constexpr std::int64_t kBlock = kChunk;
constexpr std::int64_t kQueryDepth = 256;  // components packed at a time

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

/// Positions that a row sees.
inline Range visible(const Attention& job, std::int64_t row) {
  const std::int64_t end = job.position + row + 1;
  return {job.window > 0 ? larger(0, end - job.window) : 0, end};
}

/// multiply_add for a number of rows known at run time.
template <int V, int R = 1>
void multiply_add_rows(std::int64_t rows, PackedRows a, Range k, Columns<float> w, float* y,
                       std::int64_t y_stride, bool accumulate) {
  if (rows == R) {
    multiply_add<R, V>(a, k.begin, k.end, w, y, y_stride, accumulate);
  } else if constexpr (R < kTileRows) {
    multiply_add_rows<V, R + 1>(rows, a, k, w, y, y_stride, accumulate);
  }
}

/// The scores of a tile, by the layout of the head of this file.
struct Scores {
  float* values;
  std::int64_t rows;
  std::int64_t first_block;

  std::int64_t chunk() const { return rows * kBlock; }
  float* block(std::int64_t index, std::int64_t row) const {
    return values + (index - first_block) * chunk() + row * kBlock;
  }
  /// Rows from `row` as the left side of a product over positions.
  PackedRows packed(std::int64_t row) const {
    return {values - first_block * chunk() + row * kBlock, chunk()};
  }
};

/// Adds up components [begin, end) of scale * q K^T.
void add_scores(const Attention& job, const Scores& scores, std::int64_t last_block,
                Range components) {
  const std::int64_t rows = job.rows;
  float packed[kAttentionRows * kQueryDepth];
  const std::int64_t depth = components.end - components.begin;
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* q = job.q + r * job.q_stride + components.begin;
    for (std::int64_t i = 0; i < depth; ++i) {
      packed[(i / kChunk * rows + r) * kChunk + i % kChunk] = q[i] * job.scale;
    }
  }
  for (std::int64_t b = scores.first_block; b <= last_block; ++b) {
    const float* keys = job.cache.keys + (b * job.head_dim + components.begin) * kBlock;
    for (std::int64_t r = 0; r < rows; r += kTileRows) {
      const PackedRows a{packed + r * kChunk, rows * kChunk};
      for (std::int64_t c = 0; c < kBlock; c += kTileVectors * kLanes) {
        multiply_add_rows<kTileVectors>(smaller(kTileRows, rows - r), a, {0, depth},
                                        {keys + c, kBlock, 0}, scores.block(b, r) + c, kBlock,
                                        components.begin > 0);
      }
    }
  }
}

/// Turns a row's scores into e^(score - largest) and returns 1 / their sum.
float exponentiate(const Scores& scores, std::int64_t row, Range seen) {
  const std::int64_t first = seen.begin / kBlock;
  const std::int64_t last = (seen.end - 1) / kBlock;
  const float lowest = -__builtin_inff();
  for (std::int64_t p = first * kBlock; p < seen.begin; ++p) {
    scores.block(first, row)[p % kBlock] = lowest;
  }
  for (std::int64_t p = seen.end; p < (last + 1) * kBlock; ++p) {
    scores.block(last, row)[p % kBlock] = lowest;
  }
  float largest = lowest;
  for (std::int64_t b = first; b <= last; ++b) {
    const float value = max_value(scores.block(b, row), kBlock);
    largest = value > largest ? value : largest;
  }
  Doubles sum{};
  for (std::int64_t b = first; b <= last; ++b) {
    float* values = scores.block(b, row);
    for (int i = 0; i < kBlock; i += kLanes) {
      store(values + i, exponential(load(values + i) - largest));
      sum += load_doubles(values + i) + load_doubles(values + i + kLanes / 2);
    }
  }
  return static_cast<float>(1.0 / total(sum));
}

/// The last components of the values, fewer than a vector, by way of a buffer of whole vectors.
void add_last_values(const Attention& job, PackedRows a, std::int64_t rows, Range seen,
                     std::int64_t component, float* out) {
  const std::int64_t count = job.head_dim - component;
  float sums[kTileRows * kLanes];
  for (std::int64_t r = 0; r < rows; ++r) {
    store(sums + r * kLanes, load_part(out + r * job.out_stride + component, count, 0));
  }
  for (std::int64_t begin = seen.begin; begin < seen.end; begin += kBlock) {
    const Range part{begin, smaller(begin + kBlock, seen.end)};
    float values[kBlock * kLanes];
    for (std::int64_t p = part.begin; p < part.end; ++p) {
      const float* value = job.cache.values + p * job.head_dim + component;
      store(values + (p - begin) * kLanes, load_part(value, count, 0));
    }
    multiply_add_rows<1>(rows, a, part, {values, kLanes, 0}, sums, kLanes, true);
  }
  for (std::int64_t r = 0; r < rows; ++r) {
    store_part(out + r * job.out_stride + component, load(sums + r * kLanes), count);
  }
}

/// Adds probability times value over `seen` positions to rows [row, row + rows) of the output.
void add_values(const Attention& job, const Scores& scores, std::int64_t row, std::int64_t rows,
                Range seen) {
  if (seen.begin >= seen.end) return;
  const PackedRows a = scores.packed(row);
  float* out = job.out + row * job.out_stride;
  const float* values = job.cache.values + seen.begin * job.head_dim;
  std::int64_t c = 0;
  for (; c + kTileVectors * kLanes <= job.head_dim; c += kTileVectors * kLanes) {
    multiply_add_rows<kTileVectors>(rows, a, seen, {values + c, job.head_dim, 0}, out + c,
                                    job.out_stride, true);
  }
  for (; c + kLanes <= job.head_dim; c += kLanes) {
    multiply_add_rows<1>(rows, a, seen, {values + c, job.head_dim, 0}, out + c, job.out_stride,
                         true);
  }
  if (c < job.head_dim) add_last_values(job, a, rows, seen, c, out);
}

/// Positions that all rows of [row, row + rows) see go through the rows together, those before and
/// after row by row.
void add_values_of_tile(const Attention& job, const Scores& scores, std::int64_t row,
                        std::int64_t rows) {
  const Range common{visible(job, row + rows - 1).begin, visible(job, row).end};
  const bool any = common.begin < common.end;
  for (std::int64_t r = row; r < row + rows; ++r) {
    const Range own = visible(job, r);
    add_values(job, scores, r, 1, {own.begin, any ? common.begin : own.end});
  }
  if (!any) return;
  add_values(job, scores, row, rows, common);
  for (std::int64_t r = row; r < row + rows; ++r) {
    add_values(job, scores, r, 1, {common.end, visible(job, r).end});
  }
}

void attend(const Attention& job) {
  const Scores scores{job.scratch, job.rows, visible(job, 0).begin / kBlock};
  const std::int64_t last_block = (job.position + job.rows - 1) / kBlock;
  for (std::int64_t i = 0; i < job.head_dim; i += kQueryDepth) {
    add_scores(job, scores, last_block, {i, smaller(i + kQueryDepth, job.head_dim)});
  }
  float factors[kAttentionRows];
  for (std::int64_t r = 0; r < job.rows; ++r) {
    factors[r] = exponentiate(scores, r, visible(job, r));
    for (std::int64_t c = 0; c < job.head_dim; ++c) job.out[r * job.out_stride + c] = 0.0F;
  }
  for (std::int64_t r = 0; r < job.rows; r += kTileRows) {
    add_values_of_tile(job, scores, r, smaller(kTileRows, job.rows - r));
  }
  for (std::int64_t r = 0; r < job.rows; ++r) {
    float* out = job.out + r * job.out_stride;
    for (std::int64_t c = 0; c < job.head_dim; ++c) out[c] *= factors[r];
  }
}

}  // namespace
}  // namespace terse::kernels
