// Which elements of a sparse matrix are stored: one bit for each.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "terse/core/tensor.h"
#include "terse/formats/quantized_tensors.h"
#include "terse/formats/sparse_config.h"

namespace terse {

/// Bits of a matrix [rows, columns]: element c of a row is bit c % 8, counted from the lowest, of
/// byte c / 8. Rows begin at whole bytes; the bits after the last column are 0.
class SparseMask {
 public:
  SparseMask() = default;

  /// Keeps the elements for which keep(row, column) is true. All threads.
  template <class Keep>
  SparseMask(std::int64_t rows, std::int64_t columns, const Keep& keep)
      : SparseMask(rows, columns) {
    for_each_row(rows, [&](std::int64_t r) {
      std::uint8_t* bits = row(r);
      for (std::int64_t c = 0; c < columns; ++c) {
        bits[c / 8] = static_cast<std::uint8_t>(bits[c / 8] | (keep(r, c) ? 1 : 0) << c % 8);
      }
    });
  }

  /// Reads tensor(). Errors: bad_input naming the tensor: another type or shape, bits after the
  /// last column; with the layout 2:4 also a width that 4 does not divide, or four elements of
  /// which not just two are kept.
  static SparseMask read(const std::string& name, const Tensor& tensor, std::int64_t rows,
                         std::int64_t columns, SparseLayout layout);

  /// uint8 [rows, ceil(columns / 8)].
  Tensor tensor() const;

  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }

  /// Whether 4 divides the columns, and of each four neighbours at most two are kept.
  bool fits_two_four() const;

  /// Keeps the first elements left out of each four until two are kept; needs fits_two_four().
  void pad_two_four();

  /// How many elements lie before each row, and after the last: rows + 1 numbers.
  std::vector<std::int64_t> row_offsets() const;

  /// Calls body(column) for each kept element of a row, in order.
  template <class Body>
  void for_each_kept(std::int64_t index, const Body& body) const {
    const std::uint8_t* bits = row(index);
    for (std::int64_t b = 0; b < row_bytes_; ++b) {
      for (unsigned left = bits[b]; left != 0; left &= left - 1) {
        body(8 * b + std::countr_zero(left));
      }
    }
  }

 private:
  SparseMask(std::int64_t rows, std::int64_t columns);

  const std::uint8_t* row(std::int64_t index) const { return bits_.data() + index * row_bytes_; }
  std::uint8_t* row(std::int64_t index) { return bits_.data() + index * row_bytes_; }

  std::int64_t rows_ = 0;
  std::int64_t columns_ = 0;
  std::int64_t row_bytes_ = 0;
  std::vector<std::uint8_t> bits_;
};

}  // namespace terse
