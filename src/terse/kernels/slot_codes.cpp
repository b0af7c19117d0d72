#include "terse/kernels/slot_codes.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "terse/kernels/integer_steps.h"
#include "terse/kernels/kernel_table.h"
#include "terse/kernels/packed_integers.h"
#include "terse/kernels/partition.h"

namespace terse::kernels {
namespace {

constexpr std::int64_t kWidestCode = 4;
/// Slots must save this share of the time.
constexpr double kLeastSaved = 0.05;
/// What products take that do not wait for memory, in bytes that a core reads meanwhile: measured
/// on Zen 3 (docs/kernels.md).
constexpr double kBlockCost = 230;
constexpr double kSlotCost = 15;  // of all rows
constexpr double kExtraCost = 22;
constexpr double kListCost = 120;  // of a block that has any: how many is not foreseen
/// Panels and blocks from which the number of slots is chosen.
constexpr std::int64_t kSampledPanels = 4;
constexpr std::int64_t kSampledBlocks = 4;

/// Cells are taken in orders that each have every column once. The first is the columns' own; in
/// the others neighbours are far apart, so that where one part of a row has more codes than slots
/// others that are related to it by no other order take them.
constexpr std::int64_t kOrderOffsets[][4] = {{0, 0, 0, 0}, {0, 3, 9, 22}, {3, 9, 14, 23}};

/// The column at a place of the table of a cell.
std::int64_t slot_column(const SlotFormat& format, std::int64_t block, std::int64_t cell,
                         std::int64_t place) {
  const std::int64_t tables = block / kSlotTable;
  const std::int64_t quads = block / 4;
  const std::int64_t order = format.paired ? 0 : cell / tables;
  std::int64_t quad = cell % tables * 4 + place / 4;
  if (order > 0) quad = quad % tables * 4 + quad / tables;
  return 4 * ((quad + kOrderOffsets[order][place % 4]) % quads) + place % 4;
}

/// Parts of steps are only there where planes have such parts (slot_panel.h).
std::int64_t slot_unit(int bits, int index_bits) {
  if (bits % 2 != 0 || index_bits != 2) return kStep;
  return bits == 4 ? 4 : 8;
}

std::vector<std::uint8_t> table_columns(const SlotFormat& format, std::int64_t block) {
  std::vector<std::uint8_t> columns;
  for (std::int64_t cell = 0; cell < format.cells(); ++cell) {
    for (std::int64_t place = 0; place < kSlotTable; ++place) {
      columns.push_back(static_cast<std::uint8_t>(slot_column(format, block, cell, place)));
    }
  }
  return columns;
}

/// Gives columns of a row to slots, as many as possible: a maximum matching by augmenting paths.
class SlotAssignment {
 public:
  SlotAssignment(const SlotFormat& format, std::int64_t block)
      : reach_(static_cast<std::size_t>(block)), owner_(static_cast<std::size_t>(format.slots)) {
    const std::vector<std::uint8_t> columns = table_columns(format, block);
    for (std::int64_t slot = 0; slot < format.slots; ++slot) {
      const std::uint8_t* part =
          columns.data() + slot / 4 * kSlotTable + kSlotParts[format.index_bits - 2][slot % 4];
      for (int index = 0; index < 1 << format.index_bits; ++index) {
        reach_[part[index]].push_back(
            {static_cast<std::uint8_t>(slot), static_cast<std::uint8_t>(index)});
      }
    }
  }

  /// Assigns the columns of a row; those that find no slot are put to `left`.
  void assign(std::span<const std::uint8_t> columns, std::vector<std::uint8_t>& left) {
    std::ranges::fill(owner_, Owner{});
    left.clear();
    std::ranges::fill(seen_, false);
    for (const std::uint8_t column : columns) {
      if (take_free(column)) continue;
      // What a search that fails has seen stays out of reach of a free slot.
      if (augment(column)) {
        std::ranges::fill(seen_, false);
      } else {
        left.push_back(column);
      }
    }
  }

  struct Owner {
    std::int16_t column = -1;
    std::uint8_t index = 0;
  };
  const std::vector<Owner>& owners() const { return owner_; }

 private:
  struct Choice {
    std::uint8_t slot;
    std::uint8_t index;
  };

  bool take_free(std::uint8_t column) {
    for (const Choice& choice : reach_[column]) {
      if (owner_[choice.slot].column >= 0) continue;
      owner_[choice.slot] = {column, choice.index};
      return true;
    }
    return false;
  }

  bool augment(std::uint8_t column) {
    if (take_free(column)) return true;
    for (const Choice& choice : reach_[column]) {
      if (seen_[choice.slot]) continue;
      seen_[choice.slot] = true;
      if (!augment(static_cast<std::uint8_t>(owner_[choice.slot].column))) continue;
      owner_[choice.slot] = {column, choice.index};
      return true;
    }
    return false;
  }

  std::vector<std::vector<Choice>> reach_;  // of a column
  std::vector<Owner> owner_;                // of a slot
  bool seen_[kLargestBlock] = {};
};

/// A block of the dense packing.
class DenseBlock {
 public:
  explicit DenseBlock(const PackedIntegers& dense)
      : dense_(dense),
        unpacked_(static_cast<std::size_t>(kUnpackedHeader + dense.format().block * kPanelWidth)) {}

  void read(std::int64_t panel, std::int64_t block) {
    rows_ = std::min(kPanelWidth, dense_.rows() - panel * kPanelWidth);
    first_ = block * dense_.format().block;
    kernel_table().unpack(dense_.format(), dense_.block(panel, block), 1, unpacked_.data());
  }

  std::uint8_t code(std::int64_t row, std::int64_t column) const {
    return static_cast<std::uint8_t>(unpacked_[static_cast<std::size_t>(
        kUnpackedHeader + (column / 4 * 2 + row / 16) * 64 + row % 16 * 4 + column % 4)]);
  }

  std::uint8_t zero(std::int64_t row) const {
    std::int32_t zero;
    std::memcpy(&zero, unpacked_.data() + kUnpackedZeros + row * 4, sizeof zero);
    return static_cast<std::uint8_t>(zero);
  }

  /// Columns of a row whose codes do not stand for 0.
  void columns(std::int64_t row, std::vector<std::uint8_t>& out) const {
    out.clear();
    if (row >= rows_) return;
    const std::uint8_t zero = this->zero(row);
    for (std::int64_t c = 0; c < dense_.format().block; ++c) {
      if (code(row, c) == zero) continue;
      const auto place = static_cast<std::size_t>(first_ + c);
      if (!dense_.order().empty() && dense_.order()[place] < 0) continue;
      out.push_back(static_cast<std::uint8_t>(c));
    }
  }

 private:
  const PackedIntegers& dense_;
  AlignedVector<std::byte> unpacked_;
  std::int64_t rows_ = 0;
  std::int64_t first_ = 0;
};

std::int64_t header_bytes(const IntegerPanelFormat& dense) {
  return dense.block_bytes - dense.block / kStep * 64 * dense.bits;
}

std::int64_t slot_bytes(const IntegerPanelFormat& dense, const SlotFormat& format) {
  return format.slots * (dense.bits + format.index_bits) * kPanelWidth / 8;
}

/// Rows of blocks spread over the weight, and what they cost in a format.
class Sample {
 public:
  explicit Sample(const PackedIntegers& dense) : dense_(dense) {
    DenseBlock block(dense);
    const std::int64_t panels = pieces(dense.rows(), kPanelWidth);
    const std::int64_t some = std::min(panels, kSampledPanels);
    const std::int64_t blocks = std::min(dense.blocks(), kSampledBlocks);
    for (std::int64_t p = 0; p < some; ++p) {
      for (std::int64_t b = 0; b < blocks; ++b) {
        block.read((2 * p + 1) * panels / (2 * some), (2 * b + 1) * dense.blocks() / (2 * blocks));
        for (std::int64_t row = 0; row < kPanelWidth; ++row) {
          block.columns(row, rows_.emplace_back());
        }
      }
    }
  }

  /// The time of a block on average, in bytes read: what memory takes, or instructions where
  /// those take longer.
  double cost(const SlotFormat& format) const {
    SlotAssignment assignment(format, dense_.format().block);
    std::vector<std::uint8_t> left;
    double extras = 0;
    double lists = 0;
    for (std::size_t first = 0; first < rows_.size(); first += kPanelWidth) {
      const double before = extras;
      for (std::size_t row = first; row < first + kPanelWidth; ++row) {
        assignment.assign(rows_[row], left);
        extras += static_cast<double>(left.size());
      }
      lists += extras > before ? 1 : 0;
    }
    const auto blocks = static_cast<double>(rows_.size()) / kPanelWidth;
    const auto bytes =
        static_cast<double>(header_bytes(dense_.format()) + slot_bytes(dense_.format(), format));
    return std::max(bytes + sizeof(SlotExtra) * extras / blocks,
                    kBlockCost + kSlotCost * static_cast<double>(format.slots) +
                        (kListCost * lists + kExtraCost * extras) / blocks);
  }

 private:
  const PackedIntegers& dense_;
  std::vector<std::vector<std::uint8_t>> rows_;
};

/// The format of least cost, without slots where that is the dense one.
SlotFormat choose_format(const PackedIntegers& dense) {
  const IntegerPanelFormat& format = dense.format();
  if (format.bits > kWidestCode || format.block % 32 != 0) return {};
  const Sample sample(dense);
  SlotFormat best;
  double least = (1 - kLeastSaved) * static_cast<double>(format.block_bytes);
  const auto consider = [&](const SlotFormat& candidate) {
    if (static_cast<double>(slot_bytes(format, candidate)) >= least) return;
    const double cost = sample.cost(candidate);
    if (cost >= least) return;
    best = candidate;
    least = cost;
  };
  consider({.index_bits = 2, .slots = format.block / 2, .paired = true});
  for (const int index_bits : {2, 3}) {
    const std::int64_t unit = slot_unit(format.bits, index_bits);
    const auto orders = static_cast<std::int64_t>(std::size(kOrderOffsets));
    for (std::int64_t slots = unit; slots <= orders * format.block / 4; slots += unit) {
      consider({.index_bits = index_bits, .slots = slots});
    }
  }
  return best;
}

/// Puts the codes [32][16] of a step in planes, of which there are as many slots as said.
void pack_planes(const std::uint8_t* codes, int bits, std::int64_t slots, std::uint8_t* out) {
  if (slots == 4 && bits == 2) {
    std::fill_n(out, 32, std::uint8_t{0});
    for (std::int64_t row = 0; row < kPanelWidth; ++row) {
      for (std::int64_t j = 0; j < 4; ++j) {
        out[row % 8 * 4 + j] |= static_cast<std::uint8_t>(codes[row * kStep + j] << row / 8 * 2);
      }
    }
    return;
  }
  std::uint8_t step[64 * kWidestCode];
  pack_step(codes, kStep, bits, step);
  const std::uint8_t* plane = step;
  for (const int width : {4, 2, 1}) {
    if ((bits & width) == 0) continue;
    std::memcpy(out, plane, static_cast<std::size_t>(width * 4 * slots));
    plane += width * 64;
    out += width * 4 * slots;
  }
}

/// One of the codes that pack_planes has put there.
std::uint8_t code_in_planes(const std::uint8_t* planes, int bits, std::int64_t slots,
                            std::int64_t row, std::int64_t slot) {
  if (slots == 4 && bits == 2) return planes[row % 8 * 4 + slot] >> row / 8 * 2 & 3;
  std::uint8_t step[64 * kWidestCode] = {};
  std::uint8_t* plane = step;
  for (const int width : {4, 2, 1}) {
    if ((bits & width) == 0) continue;
    std::memcpy(plane, planes, static_cast<std::size_t>(width * 4 * slots));
    plane += width * 64;
    planes += width * 4 * slots;
  }
  return code_in_step(step, bits, row, slot);
}

/// Slots of the step that begins at one: whole steps, then parts.
std::int64_t slots_of_step(const SlotFormat& format, std::int64_t first) {
  const std::int64_t left = format.slots - first;
  if (left >= kStep) return kStep;
  return left >= 8 ? 8 : left;
}

/// Packs panels one by one.
class SlotPacker {
 public:
  SlotPacker(const PackedIntegers& dense, SlotCodes& out)
      : dense_(dense), out_(out), block_(dense), assignment_(out.format, dense.format().block) {}

  /// Blocks to their place; the extras and how many each block has to the lists.
  void pack(std::int64_t panel, std::vector<SlotExtra>& extras,
            std::vector<std::uint32_t>& counts) {
    for (std::int64_t b = 0; b < dense_.blocks(); ++b) {
      const std::size_t before = extras.size();
      block_.read(panel, b);
      std::byte* to = out_.blocks.data() + (panel * dense_.blocks() + b) * out_.block_bytes;
      const std::int64_t header = header_bytes(dense_.format());
      std::memcpy(to, dense_.block(panel, b), static_cast<std::size_t>(header));
      fill_slots(extras);
      pack_steps(reinterpret_cast<std::uint8_t*>(to + header));
      counts.push_back(static_cast<std::uint32_t>(extras.size() - before));
    }
  }

 private:
  /// Codes and indices of all slots, [steps][32][16], and what a step that begins in the middle of
  /// the last reads past them.
  void fill_slots(std::vector<SlotExtra>& extras) {
    const std::int64_t steps = pieces(out_.format.slots, kStep);
    codes_.assign(static_cast<std::size_t>(steps * kStep * kPanelWidth + kStep), 0);
    indices_.assign(codes_.size(), 0);
    for (std::int64_t row = 0; row < kPanelWidth; ++row) {
      block_.columns(row, columns_);
      assignment_.assign(columns_, left_);
      const auto& owners = assignment_.owners();
      for (std::size_t slot = 0; slot < owners.size(); ++slot) {
        const std::size_t at = (slot / 16 * 32 + static_cast<std::size_t>(row)) * 16 + slot % 16;
        const std::int16_t column = owners[slot].column;
        codes_[at] = column < 0 ? block_.zero(row) : block_.code(row, column);
        indices_[at] = owners[slot].index;
      }
      list_left(row);
    }
    // The first of each row, then the second of each, ...: sums of a row that follow each other
    // would wait for each other.
    for (auto& listed : by_turn_) {
      extras.insert(extras.end(), listed.begin(), listed.end());
      listed.clear();
    }
  }

  void list_left(std::int64_t row) {
    if (by_turn_.size() < left_.size()) by_turn_.resize(left_.size());
    for (std::size_t i = 0; i < left_.size(); ++i) {
      by_turn_[i].push_back(static_cast<SlotExtra>(row | left_[i] << kExtraColumn |
                                                   block_.code(row, left_[i]) << kExtraCode));
    }
  }

  void pack_steps(std::uint8_t* out) const {
    const int bits = dense_.format().bits;
    std::int64_t count = 0;
    for (std::int64_t slot = 0; slot < out_.format.slots; slot += count) {
      count = slots_of_step(out_.format, slot);
      const auto at = static_cast<std::size_t>(slot / kStep * kStep * kPanelWidth + slot % kStep);
      pack_planes(codes_.data() + at, bits, count, out);
      out += count * 4 * bits;
      pack_planes(indices_.data() + at, out_.format.index_bits, count, out);
      out += count * 4 * out_.format.index_bits;
    }
  }

  const PackedIntegers& dense_;
  SlotCodes& out_;
  DenseBlock block_;
  SlotAssignment assignment_;
  std::vector<std::uint8_t> columns_;
  std::vector<std::uint8_t> left_;
  std::vector<std::vector<SlotExtra>> by_turn_;
  std::vector<std::uint8_t> codes_;
  std::vector<std::uint8_t> indices_;
};

}  // namespace

SlotCodes pack_slots(const PackedIntegers& dense) {
  SlotCodes result;
  result.format = choose_format(dense);
  if (result.empty()) return result;
  result.columns = table_columns(result.format, dense.format().block);
  result.block_bytes = header_bytes(dense.format()) + slot_bytes(dense.format(), result.format);
  const std::int64_t panels = pieces(dense.rows(), kPanelWidth);
  result.blocks.resize(static_cast<std::size_t>(panels * dense.blocks() * result.block_bytes));
  std::vector<std::vector<SlotExtra>> extras(static_cast<std::size_t>(panels));
  std::vector<std::vector<std::uint32_t>> counts(static_cast<std::size_t>(panels));
  parallel_for(panels, [&](std::int64_t panel) {
    const auto i = static_cast<std::size_t>(panel);
    SlotPacker(dense, result).pack(panel, extras[i], counts[i]);
  });
  std::uint32_t begin = 0;
  for (std::size_t i = 0; i < extras.size(); ++i) {
    for (const std::uint32_t count : counts[i]) {
      result.begins.push_back(begin);
      begin += count;
    }
    result.extras.insert(result.extras.end(), extras[i].begin(), extras[i].end());
  }
  result.begins.push_back(begin);
  return result;
}

void slot_row(const SlotCodes& slots, const IntegerPanelFormat& format, const std::byte* codes,
              std::int64_t block, std::int64_t row, std::uint8_t zero, std::uint8_t* out) {
  std::fill_n(out, format.block, zero);
  const auto* step = reinterpret_cast<const std::uint8_t*>(codes);
  std::int64_t count = 0;
  for (std::int64_t first = 0; first < slots.format.slots; first += count) {
    count = slots_of_step(slots.format, first);
    const std::uint8_t* indices = step + count * 4 * format.bits;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::uint8_t code = code_in_planes(step, format.bits, count, row, i);
      if (code == zero) continue;
      const std::int64_t place = kSlotParts[slots.format.index_bits - 2][i % 4] +
                                 code_in_planes(indices, slots.format.index_bits, count, row, i);
      const std::int64_t cell = (first + i) / 4;
      out[slots.columns[static_cast<std::size_t>(cell * kSlotTable + place)]] = code;
    }
    step = indices + count * 4 * slots.format.index_bits;
  }
  const auto at = static_cast<std::size_t>(block);
  for (std::uint32_t i = slots.begins[at]; i < slots.begins[at + 1]; ++i) {
    const unsigned extra = slots.extras[i];
    if ((extra & 31U) != static_cast<unsigned>(row)) continue;
    out[(extra >> kExtraColumn) & 127U] = static_cast<std::uint8_t>(extra >> kExtraCode);
  }
}

void fill_slot_tables(const SlotCodes& slots, const IntegerPanelFormat& format,
                      const std::int8_t* x, std::int64_t blocks, std::int8_t* tables) {
  for (std::int64_t b = 0; b < blocks; ++b, x += format.block) {
    for (const std::uint8_t column : slots.columns) *tables++ = x[column];
  }
}

}  // namespace terse::kernels
