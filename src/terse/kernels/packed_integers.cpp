#include "terse/kernels/packed_integers.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "terse/kernels/integer_steps.h"
#include "terse/kernels/kernel_table.h"
#include "terse/kernels/panels.h"
#include "terse/kernels/partition.h"

namespace terse::kernels {
namespace {

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

}  // namespace

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
  bool same = static_cast<std::int64_t>(result.order_.size()) == weight.columns;
  for (std::size_t i = 0; same && i < result.order_.size(); ++i) {
    same = result.order_[i] == static_cast<std::int32_t>(i);
  }
  if (same) result.order_.clear();
  parallel_for(panels, [&](std::int64_t panel) { result.pack_panel(weight, panel, block_group); });
  if (weight.sparse) result.store_in_slots();
  return result;
}

void PackedIntegers::pack_panel(const IntegerWeight& weight, std::int64_t panel,
                                std::span<const std::int32_t> block_group) {
  const std::int64_t first = panel * kPanelWidth;
  const std::int64_t count = std::min(kPanelWidth, rows_ - first);
  const bool nibbles = weight.codes.nibbles != nullptr && format_.bits == 4 && order_.empty() &&
                       count == kPanelWidth && format_.block % (2 * kStep) == 0;
  thread_local std::vector<std::uint8_t> codes;
  if (!nibbles) {
    codes.assign(static_cast<std::size_t>(kPanelWidth * columns_), 0);
    for (std::int64_t r = 0; r < count; ++r) {
      weight.codes.row(first + r, codes.data() + r * columns_);
    }
  }
  for (std::int64_t b = 0; b < blocks_; ++b) {
    std::byte* out = storage_.data() + (panel * blocks_ + b) * format_.block_bytes;
    pack_header(weight, first, count, block_group[static_cast<std::size_t>(b)], out);
    auto* steps = reinterpret_cast<std::uint8_t*>(out + header_bytes(format_));
    if (nibbles) {
      pack_nibbles(weight.codes.nibbles + first * weight.codes.nibble_stride,
                   weight.codes.nibble_stride, b, steps);
    } else {
      pack_codes(codes.data(), b, steps);
    }
  }
}

void PackedIntegers::pack_header(const IntegerWeight& weight, std::int64_t first,
                                 std::int64_t count, std::int64_t group, std::byte* out) const {
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
}

void PackedIntegers::pack_nibbles(const std::byte* rows, std::int64_t stride, std::int64_t block,
                                  std::uint8_t* steps) const {
  constexpr std::int64_t kTwo = 2 * kStep;
  for (std::int64_t k = 0; k < format_.block; k += kTwo, steps += kTwo / kStep * 4 * kCell) {
    kernels::pack_nibbles(rows + (block * format_.block + k) / 2, stride, steps);
  }
}

void PackedIntegers::pack_codes(const std::uint8_t* codes, std::int64_t block,
                                std::uint8_t* step) const {
  const std::int64_t first = block * format_.block;
  for (std::int64_t k = first; k < first + format_.block; k += kStep) {
    if (order_.empty()) {
      pack_step(codes + k, columns_, format_.bits, step);
    } else {
      std::uint8_t ordered[kPanelWidth * kStep] = {};
      for (std::int64_t j = 0; j < kStep; ++j) {
        const std::int32_t column = order_[static_cast<std::size_t>(k + j)];
        if (column < 0) continue;
        for (std::int64_t r = 0; r < kPanelWidth; ++r) {
          ordered[r * kStep + j] = codes[r * columns_ + column];
        }
      }
      pack_step(ordered, kStep, format_.bits, step);
    }
    step += kCell * format_.bits;
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
