// How a product is cut into tiles, packed and spread over threads. The sums themselves are in
// tile.inc.h; whatever is cut here, an element stays one chain over ascending k, because a chain
// that is interrupted at the end of a block of k goes on from the stored float32.
#include <algorithm>
#include <cstring>

#include "terse/kernels/float_panels.h"
#include "terse/kernels/kernel_table.h"
#include "terse/kernels/panels.h"
#include "terse/kernels/partition.h"

namespace terse::kernels {
namespace {

static_assert(Panels::kWidth == kPanelWidth);

/// The largest k of one block: a float32 panel of it takes half of a first-level cache.
constexpr std::int64_t kDepth = 256;
/// Rows of one task: with kDepth they take a fraction of a second-level cache.
constexpr std::int64_t kRows = 264;
/// Rows that are packed at a time.
constexpr std::int64_t kBand = 528;
constexpr std::int64_t kLine = 64;
/// Multiply-adds below which starting the threads costs more than it saves.
constexpr std::int64_t kSmall = 1 << 16;

template <class Source>
struct ProductOf {
  const float* x;
  std::int64_t x_stride;
  std::int64_t rows;
  const Source& w;
  float* y;
  std::int64_t y_stride;
};

using Product = ProductOf<FloatPanels>;
using DirectProduct = ProductOf<Panels>;

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

/// Stored numbers, which are widened by blocks.
class StoredPanels : public FloatPanels {
 public:
  explicit StoredPanels(const Panels& w) : w_(w) {}

  std::int64_t rows() const override { return w_.rows(); }
  std::int64_t columns() const override { return w_.columns(); }
  std::int64_t depth() const override { return kDepth; }

  const float* floats(std::int64_t panel, std::int64_t k, std::int64_t count,
                      float* buffer) const override {
    const std::byte* values = stored(panel, k, count).data();
    if (w_.dtype() == DType::f32) return reinterpret_cast<const float*>(values);
    kernel_table().to_float[static_cast<int>(storage_of(w_.dtype()))](values, count * kPanelWidth,
                                                                      buffer);
    return buffer;
  }

  std::span<const std::byte> stored(std::int64_t panel, std::int64_t k,
                                    std::int64_t count) const override {
    const std::int64_t row = kPanelWidth * static_cast<std::int64_t>(dtype_size(w_.dtype()));
    return {w_.panel(panel) + k * row, static_cast<std::size_t>(count * row)};
  }

 private:
  const Panels& w_;
};

std::int64_t columns_of(const Panels& w, const Part& panels) {
  return std::min(w.rows(), panels.end * kPanelWidth) - panels.begin * kPanelWidth;
}

template <class Source>
bool is_small(const ProductOf<Source>& p) {
  return p.rows * p.w.rows() * p.w.columns() <= kSmall;
}

/// Rows of one register tile: the weight is read once, from its storage type.
void multiply_few_rows(const DirectProduct& p, const KernelTable& kernels) {
  const std::int64_t k = p.w.columns();
  thread_local AlignedVector<float> buffer;
  float* packed = at_least(buffer, packed_size(p.rows, k));
  pack_rows(p.x, p.x_stride, p.rows, k, packed);
  const auto multiply_tile = kernels.multiply_tile[static_cast<int>(storage_of(p.w.dtype()))];
  const std::int64_t panels = pieces(p.w.rows(), kPanelWidth);
  const std::int64_t groups = panel_groups(panels, 1);
  run_tasks(is_small(p), groups, [&](std::int64_t index) {
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

/// Columns of the block that begins at k: 0 past the end.
std::int64_t depth_at(const FloatPanels& w, std::int64_t k) {
  return std::clamp<std::int64_t>(w.columns() - k, 0, w.depth());
}

/// Rows packed for many products: by blocks of k, in each block by tiles of rows.
class PackedBand {
 public:
  PackedBand(const Product& product, Part rows, std::int64_t tile_rows, float* buffer)
      : p_(product), rows_(rows), tiles_(pieces(rows.size(), tile_rows)), packed_(buffer) {}

  std::int64_t tiles() const { return tiles_; }
  Part tile(std::int64_t index) const { return {rows_.size(), tiles_, index}; }
  const float* values(std::int64_t k, const Part& tile) const { return at(k, tile); }
  float* results(const Part& tile, std::int64_t column) const {
    return p_.y + (rows_.begin + tile.begin) * p_.y_stride + column;
  }

  /// Packs one block of k and one tile.
  void pack(std::int64_t k, std::int64_t index) const {
    const Part part = tile(index);
    pack_rows(p_.x + (rows_.begin + part.begin) * p_.x_stride + k, p_.x_stride, part.size(),
              depth_at(p_.w, k), at(k, part));
  }

 private:
  float* at(std::int64_t k, const Part& tile) const {
    return packed_ + k * rows_.size() + packed_size(tile.begin, depth_at(p_.w, k));
  }

  const Product& p_;
  Part rows_;
  std::int64_t tiles_;
  float* packed_;
};

/// Some tiles of a band times some panels.
class BlockTask {
 public:
  BlockTask(const Product& product, const KernelTable& kernels, const PackedBand& band, Part tiles,
            Part panels)
      : p_(product), kernels_(kernels), band_(band), tiles_(tiles), panels_(panels) {}

  void run() {
    thread_local AlignedVector<float> buffer;
    panel_ = at_least(buffer, kDepth * kPanelWidth);
    std::int64_t k = 0;
    do {  // also once for k = 0 columns, whose sums are 0
      for (std::int64_t i = panels_.begin; i < panels_.end; ++i) multiply_panel(i, k);
      k += p_.w.depth();
    } while (k < p_.w.columns());
  }

 private:
  void multiply_panel(std::int64_t index, std::int64_t k) {
    const std::int64_t depth = depth_at(p_.w, k);
    const float* w = p_.w.floats(index, k, depth, panel_);
    const std::int64_t column = index * kPanelWidth;
    for (std::int64_t t = tiles_.begin; t < tiles_.end; ++t) {
      const Part tile = band_.tile(t);
      prefetch(index, k, t);
      kernels_.multiply_tile[static_cast<int>(Storage::f32)](
          {.a = band_.values(k, tile),
           .a_chunk = tile.size() * kChunk,
           .rows = tile.size(),
           .depth = depth,
           .w = w,
           .w_panel = 0,
           .columns = std::min(kPanelWidth, p_.w.rows() - column),
           .y = band_.results(tile, column),
           .y_stride = p_.y_stride,
           .accumulate = k > 0});
    }
  }

  /// Asks for what the next tiles need: a part of the next panel, which would otherwise come from
  /// memory all at once, and the sums of the next tile, each row of which is on its own page.
  void prefetch(std::int64_t index, std::int64_t k, std::int64_t t) const {
    const std::int64_t next = index + 1 < panels_.end ? index + 1 : panels_.begin;
    const std::int64_t next_k = index + 1 < panels_.end ? k : k + p_.w.depth();
    const std::int64_t depth = depth_at(p_.w, next_k);
    const auto values = p_.w.stored(next, next_k, depth);
    const Part lines(static_cast<std::int64_t>(values.size()) / kLine, tiles_.size(),
                     t - tiles_.begin);
    for (std::int64_t i = lines.begin; i < lines.end; ++i) {
      __builtin_prefetch(values.data() + i * kLine, 0, 2);
    }
    if (t + 1 == tiles_.end) return;
    const Part tile = band_.tile(t + 1);
    for (std::int64_t r = 0; r < tile.size(); ++r) {
      const float* sums = band_.results(tile, index * kPanelWidth) + r * p_.y_stride;
      __builtin_prefetch(sums, 1);
      __builtin_prefetch(sums + kPanelWidth / 2, 1);
    }
  }

  const Product& p_;
  const KernelTable& kernels_;
  const PackedBand& band_;
  Part tiles_;
  Part panels_;
  float* panel_ = nullptr;
};

void multiply_band(const Product& p, const KernelTable& kernels, Part rows) {
  const std::int64_t depths = pieces(p.w.columns(), p.w.depth());
  thread_local AlignedVector<float> buffer;
  const PackedBand band(p, rows, kernels.tile_rows,
                        at_least(buffer, packed_size(rows.size(), p.w.columns())));
  run_tasks(is_small(p), depths * band.tiles(),
            [&](std::int64_t index) { band.pack(index % depths * p.w.depth(), index / depths); });
  const std::int64_t panels = pieces(p.w.rows(), kPanelWidth);
  const std::int64_t blocks = pieces(band.tiles() * kernels.tile_rows, kRows);
  const std::int64_t groups = panel_groups(panels, blocks);
  run_tasks(is_small(p), blocks * groups, [&](std::int64_t index) {
    const Part tiles(band.tiles(), blocks, index % blocks);
    const Part group(panels, groups, index / blocks);
    BlockTask(p, kernels, band, tiles, group).run();
  });
}

}  // namespace

void multiply(const float* x, std::int64_t x_stride, std::int64_t rows, const FloatPanels& w,
              float* y, std::int64_t y_stride) {
  const Product product{x, x_stride, rows, w, y, y_stride};
  const std::int64_t bands = pieces(rows, kBand);
  for (std::int64_t i = 0; i < bands; ++i) {
    multiply_band(product, kernel_table(), Part(rows, bands, i));
  }
}

void multiply(const float* x, std::int64_t x_stride, std::int64_t rows, const Panels& w, float* y,
              std::int64_t y_stride) {
  const KernelTable& kernels = kernel_table();
  if (rows <= kernels.tile_rows) {
    multiply_few_rows({x, x_stride, rows, w, y, y_stride}, kernels);
  } else {
    multiply(x, x_stride, rows, StoredPanels(w), y, y_stride);
  }
}

}  // namespace terse::kernels
