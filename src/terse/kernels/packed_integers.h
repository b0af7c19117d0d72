// A weight of integer codes, packed for products that read it as it is.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "terse/core/code_rows.h"
#include "terse/core/dtype.h"
#include "terse/kernels/aligned.h"
#include "terse/kernels/integer_panel.h"
#include "terse/kernels/slot_codes.h"

namespace terse::kernels {

/// W [rows, columns] ~ scales[r, g] * (codes[r, c] - zeros[r, g]), g the group of column c.
struct IntegerWeight {
  int bits = 4;  ///< 2 to 8.
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t groups = 1;
  std::span<const std::int32_t> group_of =
      {};                               ///< [columns]; empty: groups of equal size, in order.
  CodeRows codes = {};                  ///< [rows, columns]
  const float* scales = nullptr;        ///< [rows, groups]
  const std::uint8_t* zeros = nullptr;  ///< As scales; null: 2^(bits - 1) everywhere.
  std::int64_t group_stride = 1;        ///< From one row of scales to the next; 0: one row.
  DType scale_dtype = DType::f32;       ///< Scales are exact in it: f32, bf16 or f16.
  bool sparse = false;                  ///< Many codes stand for 0: to be stored in slots.
};

/// Codes in panels of 32 rows (integer_panel.h), columns ordered by their groups. Holds as many
/// bits as there are codes, scales and zero points, those of groups beyond 128 columns once for
/// every 128. Sparse weights have slots in the place of columns (slot_panel.h) where that is
/// clearly faster.
class PackedIntegers {
 public:
  PackedIntegers() = default;
  static PackedIntegers pack(const IntegerWeight& weight);

  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }
  std::size_t bytes() const { return storage_.size() + slots_.list_bytes(); }

  const IntegerPanelFormat& format() const { return format_; }
  std::int64_t blocks() const { return blocks_; }
  /// Columns as they are packed, with what fills the last block of a group.
  std::int64_t packed_columns() const { return blocks_ * format_.block; }
  /// The column at each packed place, -1 where there is none; empty where they are the same.
  const std::vector<std::int32_t>& order() const { return order_; }
  /// Puts `columns()` values in that order, `packed_columns()`, with zeros where there is no
  /// column.
  void put_in_order(const float* x, float* out) const;
  const std::byte* block(std::int64_t panel, std::int64_t block) const {
    return storage_.data() + (panel * blocks_ + block) * format_.block_bytes;
  }

  /// Not empty where codes are stored in slots.
  const SlotCodes& slots() const { return slots_; }
  /// Some blocks of a panel as KernelTable::unpack makes them.
  void unpack(std::int64_t panel, std::int64_t block, std::int64_t count, void* out) const;

  /// Codes of a row, `columns()` of them, as they were packed.
  void codes(std::int64_t row, std::uint8_t* out) const;
  /// Scales and zero points of a row by groups, as they were packed; only where columns were given
  /// in the order of their groups.
  void grids(std::int64_t row, float* scales, std::uint8_t* zeros) const;
  /// Row `row` as float32, `columns()` values (embedding look-up).
  void unpack_row(std::int64_t row, float* out) const;

 private:
  void order_columns(const IntegerWeight& weight, std::vector<std::int32_t>& block_group);
  void pack_panel(const IntegerWeight& weight, std::int64_t panel,
                  std::span<const std::int32_t> block_group);
  void pack_header(const IntegerWeight& weight, std::int64_t first, std::int64_t count,
                   std::int64_t group, std::byte* out) const;
  void pack_nibbles(const std::byte* rows, std::int64_t stride, std::int64_t block,
                    std::uint8_t* steps) const;
  void pack_codes(const std::uint8_t* codes, std::int64_t block, std::uint8_t* step) const;
  void store_in_slots();
  void block_codes(std::int64_t row, std::int64_t block, std::uint8_t* out) const;
  float scale(std::int64_t row, std::int64_t block) const;
  std::uint8_t zero(std::int64_t row, std::int64_t block) const;

  IntegerPanelFormat format_;
  std::int64_t rows_ = 0;
  std::int64_t columns_ = 0;
  std::int64_t groups_ = 0;
  std::int64_t blocks_ = 0;
  std::vector<std::int32_t> order_;
  WeightStorage storage_;
  SlotCodes slots_;  // its blocks are the storage
};

/// y = x W^T: x [rows, columns] with row stride x_stride, y [rows, n] with row stride y_stride.
/// Batch-invariant, runs on all threads (or on the calling thread inside a parallel region).
///
/// In float32, the same bits as the product with the weight's float32 expansion where columns keep
/// their order.
void multiply(const float* x, std::int64_t x_stride, std::int64_t rows, const PackedIntegers& w,
              float* y, std::int64_t y_stride);

/// How inputs are rounded to 8 bits: x ~ scale * q, q from -127 to 127, ties to even.
enum class InputGrid {
  block,  ///< The columns of a block of a row share the scale max|x| / 127.
  row,    ///< All columns of a row share it.
  fixed,  ///< A given scale.
};

/// With inputs rounded to 8 bits: sums of integers by blocks, joined in float32. `scale` is for
/// InputGrid::fixed. A row with a value that is not finite gives values that are not.
void multiply_rounded(const float* x, std::int64_t x_stride, std::int64_t rows,
                      const PackedIntegers& w, InputGrid grid, float scale, float* y,
                      std::int64_t y_stride);

}  // namespace terse::kernels
