// How integer codes lie in a panel. Files compiled for one instruction set include this; see
// kernel_table.h for what that forbids.
#pragma once

#include <cstddef>
#include <cstdint>

#include "terse/kernels/storage.h"

namespace terse::kernels {

/// Columns that are stored and multiplied together.
inline constexpr std::int64_t kStep = 16;
/// The most columns of a block: those that share a scale and one sum of integers.
inline constexpr std::int64_t kLargestBlock = 128;
/// The largest magnitude of an 8-bit input. The grid is symmetric, so that a product with the sign
/// of a code does not overflow.
inline constexpr int kLargestInput = 127;

/// A panel is 32 rows of a weight, block after block of columns. A block is
///   32 scales;
///   32 zero points of a byte each, where `zeros`; else all are 2^(bits - 1);
///   its codes, step after step of 16 columns.
/// The codes of a step are cut into planes of 4, 2 and 1 bits, as many as the width has ones (8
/// bits are one plane); the first holds the lowest bits. A plane of w bits has 8 cells of 64 codes:
/// cell 2 c + h are columns 4 c to 4 c + 3 of rows 16 h to 16 h + 15, the columns of a row side by
/// side, so that 32 bits of a register belong to one row and sums of products stay in its lane.
/// 8 / w cells lie in the same 64 bytes, the first in their lowest bits.
struct IntegerPanelFormat {
  int bits = 4;              ///< 2 to 8.
  std::int64_t block = 128;  ///< Columns of a block: a multiple of kStep, at most kLargestBlock.
  Storage scales = Storage::f32;
  bool zeros = false;
  std::int64_t block_bytes = 0;
};

/// Inputs x ~ scale * q of several rows, q of 8 bits; a scale for every block of columns.
struct QuantizedInputs {
  const std::int8_t* codes;
  std::int64_t stride;          // of codes, from one row to the next
  const float* scales;          // [rows, blocks]
  const std::int32_t* offsets;  // [rows, blocks]: as quantize_row makes them for the weight
  std::int64_t blocks;          // of a row
};

/// y[r, 0..32) of some rows and one panel over some blocks of columns:
///   y += sum over blocks of w_scale * x_scale * (sum of w x - w_zero * (sum of x)),
/// each a chain over ascending blocks; sums within a block are exact.
struct IntegerTile {
  IntegerPanelFormat format;
  const std::byte* w;  // the first block: as stored, or as unpacked
  QuantizedInputs x;   // of the first row and block
  std::int64_t rows;   // at most KernelTable::integer_rows
  std::int64_t count;  // of blocks
  float* y;
  std::int64_t y_stride;
  bool accumulate;  // otherwise the chains begin at 0, as those of one row always do
};

/// An unpacked block: 32 scales as float32, 32 zero points as 32-bit integers, then a byte for
/// every code, in cells.
inline constexpr std::int64_t kUnpackedZeros = 128;
inline constexpr std::int64_t kUnpackedHeader = 256;

}  // namespace terse::kernels
