#include "terse/kernels/packed_integers.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "terse/kernels/integer_step.h"
#include "terse/kernels/kernel_table.h"
#include "terse/kernels/panels.h"
#include "terse/kernels/partition.h"

namespace terse::kernels {
namespace {

constexpr std::int64_t kCell = 64;  // codes, and bytes

DType dtype_of(Storage storage) {
  switch (storage) {
    case Storage::bf16:
      return DType::bf16;
    case Storage::f16:
      return DType::f16;
    case Storage::f32:
      return DType::f32;
  }
  return DType::f32;
}

std::int64_t scale_bytes(const IntegerPanelFormat& format) {
  return kPanelWidth * static_cast<std::int64_t>(dtype_size(dtype_of(format.scales)));
}

std::int64_t header_bytes(const IntegerPanelFormat& format) {
  return scale_bytes(format) + (format.zeros ? kPanelWidth : 0);
}

/// A block holds whole steps, of a long group as many columns as may share a sum.
std::int64_t block_of(std::int64_t group) {
  return std::min(pieces(std::max<std::int64_t>(group, 1), kStep) * kStep, kLargestBlock);
}

IntegerPanelFormat format_of(const IntegerWeight& weight) {
  IntegerPanelFormat format;
  format.bits = weight.bits;
  format.block = block_of(pieces(weight.columns, weight.groups));
  format.scales = storage_of(weight.scale_dtype);
  format.zeros = weight.zeros != nullptr;
  format.block_bytes = header_bytes(format) + format.block / kStep * kCell * format.bits;
  return format;
}

/// A plane of a step: `width` bits of each code, from bit `low`, `offset` bytes into the step.
struct Plane {
  int width;
  int low;
  std::int64_t offset;
};

template <class Body>
void for_each_plane(int bits, const Body& body) {
  if (bits == 8) return body(Plane{8, 0, 0});
  int low = 0;
  for (const int width : {4, 2, 1}) {
    if ((bits & width) == 0) continue;
    body(Plane{width, low, low * kCell});
    low += width;
  }
}

/// Where the code of a row and column is in a plane: the byte, and the first of its bits.
struct Place {
  Place(const Plane& plane, std::int64_t row, std::int64_t column) {
    const std::int64_t cell = column / 4 * 2 + row / 16;
    const std::int64_t shared = 8 / plane.width;
    byte = plane.offset + cell / shared * kCell + row % 16 * 4 + column % 4;
    shift = static_cast<int>(cell % shared) * plane.width;
  }

  std::int64_t byte;
  int shift;
};

std::uint64_t load_codes(const std::uint8_t* from) {
  std::uint64_t codes;
  std::memcpy(&codes, from, sizeof codes);
  return codes;
}

void store_quad(std::uint8_t* to, std::uint64_t quad) {
  const auto bytes = static_cast<std::uint32_t>(quad);
  std::memcpy(to, &bytes, sizeof bytes);
}

/// The bits of a plane of 8 codes of a row in the upper and one in the lower half of a panel,
/// where they share a byte.
std::uint64_t halves(const Plane& plane, std::uint64_t upper, std::uint64_t lower) {
  const std::uint64_t mask = 0x0101010101010101U * ((1U << plane.width) - 1);
  return ((upper >> plane.low) & mask) | (((lower >> plane.low) & mask) << plane.width);
}

}  // namespace

// In their places (Place), eight at a time.
void pack_step(const std::uint8_t* codes, int bits, std::uint8_t* step) {
  for (std::int64_t row = 0; row < 16; ++row) {
    const std::uint8_t* upper = codes + row * kStep;
    const std::uint8_t* lower = upper + 16 * kStep;
    std::uint8_t* out = step + row * 4;
    if (bits == 8) {
      for (std::int64_t c = 0; c < 4; ++c) {
        std::memcpy(out + 2 * c * kCell, upper + 4 * c, 4);
        std::memcpy(out + (2 * c + 1) * kCell, lower + 4 * c, 4);
      }
      continue;
    }
    const std::uint64_t a[] = {load_codes(upper), load_codes(upper + 8)};
    const std::uint64_t b[] = {load_codes(lower), load_codes(lower + 8)};
    for_each_plane(bits, [&](const Plane& plane) {
      const std::uint64_t first = halves(plane, a[0], b[0]);
      const std::uint64_t second = halves(plane, a[1], b[1]);
      std::uint8_t* to = out + plane.offset;
      if (plane.width == 4) {
        store_quad(to, first);
        store_quad(to + kCell, first >> 32);
        store_quad(to + 2 * kCell, second);
        store_quad(to + 3 * kCell, second >> 32);
      } else if (plane.width == 2) {
        store_quad(to, first | first >> 32 << 4);
        store_quad(to + kCell, second | second >> 32 << 4);
      } else {
        store_quad(to, first | first >> 32 << 2 | second << 4 | second >> 32 << 6);
      }
    });
  }
}

std::uint8_t code_in_step(const std::uint8_t* step, int bits, std::int64_t row,
                          std::int64_t column) {
  unsigned code = 0;
  for_each_plane(bits, [&](const Plane& plane) {
    const Place at(plane, row, column);
    const unsigned mask = (1U << plane.width) - 1;
    code |= ((step[at.byte] >> at.shift) & mask) << plane.low;
  });
  return static_cast<std::uint8_t>(code);
}

void PackedIntegers::order_columns(const IntegerWeight& weight,
                                   std::vector<std::int32_t>& block_group) {
  std::vector<std::int32_t> columns(static_cast<std::size_t>(weight.columns));
  std::iota(columns.begin(), columns.end(), 0);
  const std::int64_t size = pieces(weight.columns, weight.groups);
  const auto group = [&](std::int32_t column) {
    return weight.group_of.empty() ? static_cast<std::int32_t>(column / size)
                                   : weight.group_of[static_cast<std::size_t>(column)];
  };
  std::ranges::stable_sort(columns, {}, group);
  for (std::size_t begin = 0; begin < columns.size();) {
    std::size_t end = begin;
    while (end < columns.size() && group(columns[end]) == group(columns[begin])) ++end;
    for (std::size_t at = begin; at < end; at += static_cast<std::size_t>(format_.block)) {
      const std::size_t stop = std::min(end, at + static_cast<std::size_t>(format_.block));
      block_group.push_back(group(columns[begin]));
      order_.insert(order_.end(), columns.begin() + static_cast<std::ptrdiff_t>(at),
                    columns.begin() + static_cast<std::ptrdiff_t>(stop));
      order_.resize(block_group.size() * static_cast<std::size_t>(format_.block), -1);
    }
    begin = end;
  }
}

PackedIntegers PackedIntegers::pack(const IntegerWeight& weight) {
  PackedIntegers result;
  result.format_ = format_of(weight);
  result.rows_ = weight.rows;
  result.columns_ = weight.columns;
  result.groups_ = weight.groups;
  std::vector<std::int32_t> block_group;
  result.order_columns(weight, block_group);
  result.blocks_ = static_cast<std::int64_t>(block_group.size());
  const std::int64_t panels = pieces(weight.rows, kPanelWidth);
  result.storage_.resize(
      static_cast<std::size_t>(panels * result.blocks_ * result.format_.block_bytes));
  parallel_for(panels, [&](std::int64_t panel) {
    for (std::int64_t b = 0; b < result.blocks_; ++b) {
      result.pack_block(weight, panel, b, block_group[static_cast<std::size_t>(b)]);
    }
  });
  bool same = static_cast<std::int64_t>(result.order_.size()) == weight.columns;
  for (std::size_t i = 0; same && i < result.order_.size(); ++i) {
    same = result.order_[i] == static_cast<std::int32_t>(i);
  }
  if (same) result.order_.clear();
  if (weight.sparse) result.store_in_slots();
  return result;
}

void PackedIntegers::pack_block(const IntegerWeight& weight, std::int64_t panel, std::int64_t block,
                                std::int64_t group) {
  std::byte* out = storage_.data() + (panel * blocks_ + block) * format_.block_bytes;
  const std::int64_t first = panel * kPanelWidth;
  const std::int64_t count = std::min(kPanelWidth, rows_ - first);
  float scales[kPanelWidth] = {};
  std::uint8_t zeros[kPanelWidth] = {};
  for (std::int64_t r = 0; r < count; ++r) {
    const std::int64_t at = (first + r) * weight.group_stride + group;
    scales[r] = weight.scales[at];
    if (format_.zeros) zeros[r] = weight.zeros[at];
  }
  convert_from_float(dtype_of(format_.scales), scales,
                     {out, static_cast<std::size_t>(scale_bytes(format_))});
  if (format_.zeros) std::memcpy(out + scale_bytes(format_), zeros, sizeof zeros);
  auto* step = reinterpret_cast<std::uint8_t*>(out + header_bytes(format_));
  const std::int32_t* columns = order_.data() + block * format_.block;
  const bool neighbours = weight.group_of.empty() && columns[format_.block - 1] >= 0;
  for (std::int64_t k = 0; k < format_.block; k += kStep, step += kCell * format_.bits) {
    std::uint8_t codes[kPanelWidth * kStep] = {};
    for (std::int64_t r = 0; r < count; ++r) {
      const std::uint8_t* row = weight.codes + (first + r) * columns_;
      if (neighbours) {
        std::memcpy(codes + r * kStep, row + columns[k], kStep);
        continue;
      }
      for (std::int64_t j = 0; j < kStep; ++j) {
        if (columns[k + j] >= 0) codes[r * kStep + j] = row[columns[k + j]];
      }
    }
    pack_step(codes, format_.bits, step);
  }
}

void PackedIntegers::put_in_order(const float* x, float* out) const {
  for (std::int64_t k = 0; k < packed_columns(); ++k) {
    const std::int32_t column = order_[static_cast<std::size_t>(k)];
    out[k] = column < 0 ? 0.0F : x[column];
  }
}

void PackedIntegers::block_codes(std::int64_t row, std::int64_t block, std::uint8_t* out) const {
  const std::int64_t panel = row / kPanelWidth;
  const std::byte* codes = this->block(panel, block) + header_bytes(format_);
  row %= kPanelWidth;
  if (!slots_.empty()) {
    return slot_row(slots_, format_, codes, panel * blocks_ + block, row,
                    zero(panel * kPanelWidth + row, block), out);
  }
  const auto* step = reinterpret_cast<const std::uint8_t*>(codes);
  for (std::int64_t k = 0; k < format_.block; k += kStep, step += kCell * format_.bits) {
    for (std::int64_t j = 0; j < kStep; ++j) {
      out[k + j] = code_in_step(step, format_.bits, row, j);
    }
  }
}

void PackedIntegers::codes(std::int64_t row, std::uint8_t* out) const {
  std::uint8_t codes[kLargestBlock];
  for (std::int64_t place = 0; place < packed_columns(); ++place) {
    const std::int64_t k = place % format_.block;
    if (k == 0) block_codes(row, place / format_.block, codes);
    const std::int64_t column = order_.empty() ? place : order_[static_cast<std::size_t>(place)];
    if (column >= 0) out[column] = codes[k];
  }
}

float PackedIntegers::scale(std::int64_t row, std::int64_t block) const {
  const DType dtype = dtype_of(format_.scales);
  const std::size_t size = dtype_size(dtype);
  const std::byte* header = this->block(row / kPanelWidth, block);
  float scale = 0;
  convert_to_float(dtype, {header + static_cast<std::size_t>(row % kPanelWidth) * size, size},
                   {&scale, 1});
  return scale;
}

std::uint8_t PackedIntegers::zero(std::int64_t row, std::int64_t block) const {
  if (!format_.zeros) return static_cast<std::uint8_t>(1 << (format_.bits - 1));
  const std::byte* zeros = this->block(row / kPanelWidth, block) + scale_bytes(format_);
  return static_cast<std::uint8_t>(zeros[row % kPanelWidth]);
}

void PackedIntegers::grids(std::int64_t row, float* scales, std::uint8_t* zeros) const {
  const std::int64_t blocks = blocks_ / groups_;  // of a group
  for (std::int64_t g = 0; g < groups_; ++g) {
    scales[g] = scale(row, g * blocks);
    zeros[g] = zero(row, g * blocks);
  }
}

void PackedIntegers::unpack_row(std::int64_t row, float* out) const {
  std::uint8_t codes[kLargestBlock];
  for (std::int64_t b = 0; b < blocks_; ++b) {
    block_codes(row, b, codes);
    const float step = scale(row, b);
    const int middle = zero(row, b);
    const std::int64_t first = b * format_.block;
    for (std::int64_t k = 0; k < format_.block; ++k) {
      const std::int64_t place = first + k;
      const std::int64_t column = order_.empty() ? place : order_[static_cast<std::size_t>(place)];
      if (column >= 0) out[column] = step * static_cast<float>(codes[k] - middle);
    }
  }
}

void PackedIntegers::unpack(std::int64_t panel, std::int64_t block, std::int64_t count,
                            void* out) const {
  if (slots_.empty()) {
    return kernel_table().unpack(format_, this->block(panel, block), count, out);
  }
  kernel_table().unpack_slots({.format = format_,
                               .slots = slots_.format,
                               .w = this->block(panel, block),
                               .extras = slots_.extras.data(),
                               .begins = slots_.begins.data() + panel * blocks_ + block,
                               .columns = slots_.columns.data(),
                               .count = count},
                              out);
}

void PackedIntegers::store_in_slots() {
  slots_ = pack_slots(*this);
  if (slots_.empty()) return;
  storage_ = std::move(slots_.blocks);
  format_.block_bytes = slots_.block_bytes;
}

}  // namespace terse::kernels
