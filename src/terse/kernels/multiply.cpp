// How a product is cut into tiles, packed and spread over threads. The sums themselves are in
// tile.inc.h; whatever is cut here, an element stays one chain over ascending k, because a chain
// that is interrupted at the end of a block of k goes on from the stored float32.
#include <algorithm>
#include <cstring>

#include "terse/core/threads.h"
#include "terse/kernels/kernel_table.h"
#include "terse/kernels/panels.h"

namespace terse::kernels {
namespace {

static_assert(Panels::kWidth == kPanelWidth);

/// k of one block: a float32 panel of it takes half of a first-level cache.
constexpr std::int64_t kDepth = 256;
/// Rows of one block: with kDepth they take a fraction of a second-level cache.
constexpr std::int64_t kRows = 256;
/// Panels of one task when there are many rows, and when a weight is read once for few.
constexpr std::int64_t kPanelGroup = 16;
constexpr std::int64_t kPanelGroupOfFewRows = 8;
/// Tasks wanted at least, so that the threads end together.
constexpr std::int64_t kTasks = 8;
/// Multiply-adds below which starting the threads costs more than it saves.
constexpr std::int64_t kSmall = 1 << 16;

struct Product {
  const float* x;
  std::int64_t x_stride;
  std::int64_t rows;
  const Panels& w;
  float* y;
  std::int64_t y_stride;
};

Storage storage_of(const Panels& w) {
  switch (w.dtype()) {
    case DType::bf16:
      return Storage::bf16;
    case DType::f16:
      return Storage::f16;
    default:
      return Storage::f32;
  }
}

std::int64_t pieces(std::int64_t count, std::int64_t largest) {
  return (count + largest - 1) / largest;
}

/// Part `index` of [0, count) cut into `parts` of nearly equal size.
struct Part {
  Part(std::int64_t count, std::int64_t parts, std::int64_t index)
      : begin(count * index / parts), end(count * (index + 1) / parts) {}
  std::int64_t size() const { return end - begin; }

  std::int64_t begin;
  std::int64_t end;
};

std::int64_t packed_size(std::int64_t rows, std::int64_t depth) {
  return rows * pieces(depth, kChunk) * kChunk;
}

/// Packs rows of x, `depth` values each, as TileProduct::a wants them.
void pack_rows(const float* x, std::int64_t stride, std::int64_t rows, std::int64_t depth,
               float* packed) {
  for (std::int64_t k = 0; k < depth; k += kChunk) {
    const std::size_t bytes = static_cast<std::size_t>(std::min(kChunk, depth - k)) * sizeof(float);
    for (std::int64_t r = 0; r < rows; ++r, packed += kChunk) {
      std::memcpy(packed, x + r * stride + k, bytes);
    }
  }
}

float* at_least(AlignedVector<float>& buffer, std::int64_t size) {
  if (static_cast<std::int64_t>(buffer.size()) < size)
    buffer.resize(static_cast<std::size_t>(size));
  return buffer.data();
}

std::int64_t columns_of(const Panels& w, const Part& panels) {
  return std::min(w.rows(), panels.end * kPanelWidth) - panels.begin * kPanelWidth;
}

/// Runs the tasks on all threads, or on this one if there is little to do; either way without
/// denormals, so that the number of rows cannot change a bit.
void run(const Product& p, std::int64_t count, const std::function<void(std::int64_t)>& task) {
  if (p.rows * p.w.rows() * p.w.columns() > kSmall) return parallel_for(count, task);
  flush_denormals();
  for (std::int64_t i = 0; i < count; ++i) task(i);
}

/// Rows of one register tile: the weight is read once, from its storage type.
void multiply_few_rows(const Product& p, const KernelTable& kernels) {
  const std::int64_t k = p.w.columns();
  thread_local AlignedVector<float> buffer;
  float* packed = at_least(buffer, packed_size(p.rows, k));
  pack_rows(p.x, p.x_stride, p.rows, k, packed);
  const auto multiply_tile = kernels.multiply_tile[static_cast<int>(storage_of(p.w))];
  const std::int64_t panels = pieces(p.w.rows(), kPanelWidth);
  const std::int64_t groups =
      std::max(pieces(panels, kPanelGroupOfFewRows), std::min(panels, kTasks));
  run(p, groups, [&](std::int64_t index) {
    const Part group(panels, groups, index);
    multiply_tile({.a = packed,
                   .a_chunk = p.rows * kChunk,
                   .rows = p.rows,
                   .depth = k,
                   .w = p.w.panel(group.begin),
                   .w_panel = k * kPanelWidth,
                   .columns = columns_of(p.w, group),
                   .y = p.y + group.begin * kPanelWidth,
                   .y_stride = p.y_stride,
                   .accumulate = false});
  });
}

/// A block of rows times a group of panels.
class BlockTask {
 public:
  BlockTask(const Product& product, const KernelTable& kernels, Part rows, Part panels)
      : p_(product),
        kernels_(kernels),
        rows_(rows),
        panels_(panels),
        tiles_(pieces(rows.size(), kernels.tile_rows)) {}

  void run() {
    thread_local AlignedVector<float> row_buffer;
    thread_local AlignedVector<float> panel_buffer;
    packed_ = at_least(row_buffer, packed_size(rows_.size(), kDepth));
    panel_ = at_least(panel_buffer, kDepth * kPanelWidth);
    std::int64_t k = 0;
    do {  // also once for k = 0 columns, whose sums are 0
      multiply_depth(k, std::min(kDepth, p_.w.columns() - k));
      k += kDepth;
    } while (k < p_.w.columns());
  }

 private:
  void multiply_depth(std::int64_t k, std::int64_t depth) {
    for (std::int64_t t = 0; t < tiles_; ++t) {
      const Part tile(rows_.size(), tiles_, t);
      pack_rows(p_.x + (rows_.begin + tile.begin) * p_.x_stride + k, p_.x_stride, tile.size(),
                depth, packed_ + packed_size(tile.begin, depth));
    }
    for (std::int64_t index = panels_.begin; index < panels_.end; ++index) {
      multiply_panel(index, k, depth);
    }
  }

  void multiply_panel(std::int64_t index, std::int64_t k, std::int64_t depth) {
    const float* w = floats_of_panel(index, k, depth);
    const std::int64_t column = index * kPanelWidth;
    for (std::int64_t t = 0; t < tiles_; ++t) {
      const Part tile(rows_.size(), tiles_, t);
      kernels_.multiply_tile[static_cast<int>(Storage::f32)](
          {.a = packed_ + packed_size(tile.begin, depth),
           .a_chunk = tile.size() * kChunk,
           .rows = tile.size(),
           .depth = depth,
           .w = w,
           .w_panel = 0,
           .columns = std::min(kPanelWidth, p_.w.rows() - column),
           .y = p_.y + (rows_.begin + tile.begin) * p_.y_stride + column,
           .y_stride = p_.y_stride,
           .accumulate = k > 0});
    }
  }

  const float* floats_of_panel(std::int64_t index, std::int64_t k, std::int64_t depth) {
    const std::byte* values =
        p_.w.panel(index) + static_cast<std::size_t>(k * kPanelWidth) * dtype_size(p_.w.dtype());
    if (p_.w.dtype() == DType::f32) return reinterpret_cast<const float*>(values);
    kernels_.to_float[static_cast<int>(storage_of(p_.w))](values, depth * kPanelWidth, panel_);
    return panel_;
  }

  const Product& p_;
  const KernelTable& kernels_;
  Part rows_;
  Part panels_;
  std::int64_t tiles_;
  float* packed_ = nullptr;
  float* panel_ = nullptr;
};

void multiply_many_rows(const Product& p, const KernelTable& kernels) {
  const std::int64_t panels = pieces(p.w.rows(), kPanelWidth);
  const std::int64_t blocks = pieces(p.rows, kRows);
  const std::int64_t groups =
      std::max(pieces(panels, kPanelGroup), std::min(panels, pieces(kTasks, blocks)));
  run(p, blocks * groups, [&](std::int64_t index) {
    const Part rows(p.rows, blocks, index % blocks);
    const Part group(panels, groups, index / blocks);
    BlockTask(p, kernels, rows, group).run();
  });
}

}  // namespace

void multiply(const float* x, std::int64_t x_stride, std::int64_t rows, const Panels& w, float* y,
              std::int64_t y_stride) {
  const Product product{x, x_stride, rows, w, y, y_stride};
  const KernelTable& kernels = kernel_table();
  if (rows <= kernels.tile_rows) {
    multiply_few_rows(product, kernels);
  } else {
    multiply_many_rows(product, kernels);
  }
}

}  // namespace terse::kernels
