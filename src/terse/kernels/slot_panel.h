// How the codes of a sparse weight lie in a panel. Files compiled for one instruction set include
// this; see kernel_table.h for what that forbids.
#pragma once

#include "terse/kernels/integer_panel.h"

namespace terse::kernels {

/// Only codes that do not stand for 0 are stored, in slots: every row of a block has `slots` of
/// them. A cell is four slots of each row. It has a table of 16 columns (slot_column), and each of
/// its slots takes the code of one column of its part of the table: four columns that begin at 0,
/// 4, 8 and 12 with an index of 2 bits, eight that begin at 0, 2, 5 and 8 with one of 3 bits. A
/// slot that nothing needs holds the zero point. Codes that found no slot are listed as extras.
///
/// A block is stored as in IntegerPanelFormat, with slots in the place of columns: after each step
/// of 16 codes come the planes of their 16 indices. Of even widths and indices of 2 bits a step of
/// 8 slots may follow: the first half of each plane. Of 4 bits and 2 bits one of 4 slots may: their
/// codes are the first quarter of the plane, and their indices 32 bytes of four rows that are 8
/// apart, the first row in the lowest bits.
struct SlotFormat {
  int index_bits = 2;      ///< 2 or 3.
  std::int64_t slots = 0;  ///< Of a row in a block: a multiple of slot_unit.
  bool paired = false;     ///< Both halves of the cells have the same tables (2:4).

  std::int64_t cells() const { return slots / 4; }
};

inline constexpr std::int64_t kSlotTable = 16;

/// Where the part of the table begins that the first, second, ... slot of a cell can take.
inline constexpr std::uint8_t kSlotParts[2][4] = {{0, 4, 8, 12}, {0, 2, 5, 8}};

/// A listed code, of at most 4 bits, of a block of at most 128 columns.
using SlotExtra = std::uint16_t;
inline constexpr int kExtraColumn = 5;  // bits below are the row
inline constexpr int kExtraCode = 12;

/// y[0..32) of one row of inputs and one panel, as IntegerTile.
struct SlotTile {
  IntegerPanelFormat format;
  SlotFormat slots;
  const std::byte* w;           // the first block
  const SlotExtra* extras;      // of all blocks of all panels
  const std::uint32_t* begins;  // of the extras of each block; one more ends the last
  QuantizedInputs x;            // of the row
  const std::int8_t* tables;    // [blocks, cells, 16]: inputs as the cells take them
  std::int64_t count;           // of blocks
  float* y;
};

/// Blocks to unpack into what KernelTable::unpack makes of one that is not sparse.
struct SlotBlocks {
  IntegerPanelFormat format;
  SlotFormat slots;
  const std::byte* w;
  const SlotExtra* extras;
  const std::uint32_t* begins;
  const std::uint8_t* columns;  // [cells, 16]: the tables
  std::int64_t count;
};

}  // namespace terse::kernels
