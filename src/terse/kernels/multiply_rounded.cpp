// How a product of integers is cut into tiles and spread over threads. Sums within a block are
// exact and blocks are joined in ascending order, whatever is cut here.
#include <algorithm>
#include <cmath>

#include "terse/kernels/kernel_table.h"
#include "terse/kernels/packed_integers.h"
#include "terse/kernels/partition.h"

namespace terse::kernels {
namespace {

/// Columns that are unpacked at a time: with 32 rows of codes, half of a first-level cache.
constexpr std::int64_t kDepth = 512;
/// Rows of one task; their inputs of kDepth columns take a fraction of a second-level cache.
constexpr std::int64_t kRows = 256;
/// No kernel takes more rows.
constexpr std::int64_t kLargestTile = 16;
/// Products below which starting the threads costs more than it saves.
constexpr std::int64_t kSmall = 1 << 17;
/// Keeps rows of inputs from falling on the same lines of a cache.
constexpr std::int64_t kPadding = 64;

/// Rows of x in the order of the packed columns, as 8-bit integers.
class RoundedRows {
 public:
  RoundedRows(const PackedIntegers& w, std::int64_t rows)
      : w_(w),
        stride_(w.packed_columns() + kPadding),
        codes_(static_cast<std::size_t>(rows * stride_)),
        scales_(static_cast<std::size_t>(rows * w.blocks())),
        offsets_(scales_.size()) {}

  void round(const float* x, std::int64_t row, InputGrid grid, float fixed) {
    thread_local AlignedVector<float> ordered;
    const std::int64_t columns = w_.packed_columns();
    const float* values = x;
    if (!w_.order().empty()) {
      ordered.resize(static_cast<std::size_t>(columns));
      w_.put_in_order(x, ordered.data());
      values = ordered.data();
    }
    if (grid == InputGrid::block) fixed = 0;
    if (grid == InputGrid::row) fixed = row_scale(values);
    kernel_table().quantize_row(values, w_.blocks(), w_.format(), fixed,
                                codes_.data() + row * stride_, scales_.data() + row * w_.blocks(),
                                offsets_.data() + row * w_.blocks());
  }

  /// The first row as the slots of the weight take it.
  void fill_slot_tables() {
    tables_.resize(static_cast<std::size_t>(w_.blocks()) * w_.slots().columns.size());
    kernels::fill_slot_tables(w_.slots(), w_.format(), codes_.data(), w_.blocks(), tables_.data());
  }
  const std::int8_t* slot_tables() const { return tables_.data(); }

  QuantizedInputs from(std::int64_t row, std::int64_t block) const {
    const std::int64_t at = row * w_.blocks() + block;
    return {codes_.data() + row * stride_ + block * w_.format().block, stride_, scales_.data() + at,
            offsets_.data() + at, w_.blocks()};
  }

 private:
  /// 0 only where all values are; one that is not finite shows in the scales of its block.
  float row_scale(const float* x) const {
    float most = 0;
    for (std::int64_t k = 0; k < w_.packed_columns(); ++k) most = std::max(most, std::abs(x[k]));
    return most / static_cast<float>(kLargestInput);
  }

  const PackedIntegers& w_;
  std::int64_t stride_;
  AlignedVector<std::int8_t> codes_;
  AlignedVector<std::int8_t> tables_;
  std::vector<float> scales_;
  std::vector<std::int32_t> offsets_;
};

class Product {
 public:
  Product(const PackedIntegers& w, const RoundedRows& x, float* y, std::int64_t y_stride)
      : w_(w), x_(x), y_(y), y_stride_(y_stride) {}

  std::int64_t panels() const { return pieces(w_.rows(), kPanelWidth); }

  /// The only row, by some panels.
  void one_row(const Part& panels) const {
    for (std::int64_t panel = panels.begin; panel < panels.end; ++panel) {
      alignas(kAlignment) float sums[kPanelWidth];
      multiply_stored(panel, sums);
      const std::int64_t first = panel * kPanelWidth;
      std::copy_n(sums, std::min(kPanelWidth, w_.rows() - first), y_ + first);
    }
  }

  /// Some rows by some panels, unpacked one after the other.
  void many_rows(const Part& rows, const Part& panels) const {
    thread_local AlignedVector<std::byte> buffer;
    const std::int64_t blocks = std::max<std::int64_t>(kDepth / w_.format().block, 1);
    buffer.resize(
        static_cast<std::size_t>(blocks * (kUnpackedHeader + w_.format().block * kPanelWidth)));
    for (std::int64_t block = 0; block < w_.blocks(); block += blocks) {
      const std::int64_t count = std::min(blocks, w_.blocks() - block);
      for (std::int64_t panel = panels.begin; panel < panels.end; ++panel) {
        w_.unpack(panel, block, count, buffer.data());
        multiply_panel(rows, panel, block, count, buffer.data());
      }
    }
  }

 private:
  void multiply_stored(std::int64_t panel, float* sums) const {
    if (w_.slots().empty()) {
      return kernels_.multiply_stored({.format = w_.format(),
                                       .w = w_.block(panel, 0),
                                       .x = x_.from(0, 0),
                                       .rows = 1,
                                       .count = w_.blocks(),
                                       .y = sums,
                                       .y_stride = kPanelWidth,
                                       .accumulate = false});
    }
    kernels_.multiply_slots({.format = w_.format(),
                             .slots = w_.slots().format,
                             .w = w_.block(panel, 0),
                             .extras = w_.slots().extras.data(),
                             .begins = w_.slots().begins.data() + panel * w_.blocks(),
                             .x = x_.from(0, 0),
                             .tables = x_.slot_tables(),
                             .count = w_.blocks(),
                             .y = sums});
  }

  void multiply_panel(const Part& rows, std::int64_t panel, std::int64_t block, std::int64_t count,
                      const std::byte* unpacked) const {
    const std::int64_t tiles = pieces(rows.size(), kernels_.integer_rows);
    const std::int64_t first = panel * kPanelWidth;
    const std::int64_t width = std::min(kPanelWidth, w_.rows() - first);
    for (std::int64_t t = 0; t < tiles; ++t) {
      const Part tile(rows.size(), tiles, t);
      const std::int64_t row = rows.begin + tile.begin;
      float* y = y_ + row * y_stride_ + first;
      IntegerTile job{.format = w_.format(),
                      .w = unpacked,
                      .x = x_.from(row, block),
                      .rows = tile.size(),
                      .count = count,
                      .y = y,
                      .y_stride = y_stride_,
                      .accumulate = block > 0};
      if (width == kPanelWidth) {
        kernels_.multiply_unpacked(job);
      } else {
        by_whole_panel(job, y, width);
      }
    }
  }

  /// The last rows of the weight, fewer than a panel has, by way of a whole panel of sums.
  void by_whole_panel(IntegerTile job, float* y, std::int64_t width) const {
    alignas(kAlignment) float sums[kLargestTile * kPanelWidth] = {};
    for (std::int64_t r = 0; r < job.rows; ++r) {
      if (job.accumulate) std::copy_n(y + r * y_stride_, width, sums + r * kPanelWidth);
    }
    job.y = sums;
    job.y_stride = kPanelWidth;
    kernels_.multiply_unpacked(job);
    for (std::int64_t r = 0; r < job.rows; ++r) {
      std::copy_n(sums + r * kPanelWidth, width, y + r * y_stride_);
    }
  }

  const PackedIntegers& w_;
  const RoundedRows& x_;
  float* y_;
  std::int64_t y_stride_;
  const KernelTable& kernels_ = kernel_table();
};

}  // namespace

void multiply_rounded(const float* x, std::int64_t x_stride, std::int64_t rows,
                      const PackedIntegers& w, InputGrid grid, float scale, float* y,
                      std::int64_t y_stride) {
  if (rows == 0) return;
  const bool small = rows * w.rows() * w.columns() <= kSmall;
  RoundedRows rounded(w, rows);
  run_tasks(small || rows == 1, rows,
            [&](std::int64_t row) { rounded.round(x + row * x_stride, row, grid, scale); });
  if (rows == 1 && !w.slots().empty()) rounded.fill_slot_tables();
  const Product product(w, rounded, y, y_stride);
  const std::int64_t bands = pieces(rows, kRows);
  const std::int64_t groups = panel_groups(product.panels(), bands);
  run_tasks(small, bands * groups, [&](std::int64_t index) {
    const Part panels(product.panels(), groups, index / bands);
    if (rows == 1) return product.one_row(panels);
    product.many_rows(Part(rows, bands, index % bands), panels);
  });
}

}  // namespace terse::kernels
