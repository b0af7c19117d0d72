// The codes of a sparse weight in slots (slot_panel.h), made from its dense packing.
#pragma once

#include <cstdint>
#include <vector>

#include "terse/kernels/aligned.h"
#include "terse/kernels/slot_panel.h"

namespace terse::kernels {

class PackedIntegers;

struct SlotCodes {
  SlotFormat format;             ///< No slots where the weight is not packed so.
  std::int64_t block_bytes = 0;  ///< Of a stored block: scales, zero points, slots.
  WeightStorage blocks;
  std::vector<SlotExtra> extras;      ///< Of all blocks, panel after panel.
  std::vector<std::uint32_t> begins;  ///< [panels * blocks + 1]: where those of a block begin.
  std::vector<std::uint8_t> columns;  ///< [cells, 16]: the table of each cell, columns of a block.

  bool empty() const { return format.slots == 0; }
  /// Without the blocks.
  std::size_t list_bytes() const { return extras.size() * 2 + begins.size() * 4; }
};

/// The slots with which a product with one row takes the least time, or none where that would not
/// be clearly less than the dense packing takes (docs/kernels.md says how that is judged). None
/// where codes have more than 4 bits or blocks are not multiples of 32 columns.
SlotCodes pack_slots(const PackedIntegers& dense);

/// Codes of a row of a block, as many as it has columns. `codes` points behind scales and zero
/// points, the extras are those of the block; `zero` is the row's zero point.
void slot_row(const SlotCodes& slots, const IntegerPanelFormat& format, const std::byte* codes,
              std::int64_t block, std::int64_t row, std::uint8_t zero, std::uint8_t* out);

/// Inputs of the blocks of a row as cells take them: [blocks, cells, 16].
void fill_slot_tables(const SlotCodes& slots, const IntegerPanelFormat& format,
                      const std::int8_t* x, std::int64_t blocks, std::int8_t* tables);

}  // namespace terse::kernels
