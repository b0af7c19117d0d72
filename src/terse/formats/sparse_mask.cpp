#include "terse/formats/sparse_mask.h"

#include <algorithm>

#include "terse/core/error.h"

namespace terse {
namespace {

// A byte holds two groups of four.
bool at_most_two_of_four(std::uint8_t byte) {
  return std::popcount(byte & 0x0FU) <= 2 && std::popcount(byte & 0xF0U) <= 2;
}

}  // namespace

SparseMask::SparseMask(std::int64_t rows, std::int64_t columns)
    : rows_(rows),
      columns_(columns),
      row_bytes_((columns + 7) / 8),
      bits_(static_cast<std::size_t>(rows * row_bytes_)) {}

SparseMask SparseMask::read(const std::string& name, const Tensor& tensor, std::int64_t rows,
                            std::int64_t columns, SparseLayout layout) {
  const Shape expected{rows, (columns + 7) / 8};
  if (tensor.dtype() != DType::u8 || tensor.shape() != expected) {
    throw bad_input("tensor {}: expected U8 {} for a weight of [{}, {}], found {} {}", name,
                    shape_text(expected), rows, columns, dtype_name(tensor.dtype()),
                    shape_text(tensor.shape()));
  }
  SparseMask mask(rows, columns);
  std::ranges::copy(tensor.to_values<std::uint8_t>(), mask.bits_.begin());
  const auto unused = static_cast<unsigned>(8 * expected[1] - columns);
  for (std::int64_t r = 0; r < rows; ++r) {
    if (mask.row(r)[expected[1] - 1] >> (8 - unused) != 0) {
      throw bad_input("tensor {}: row {} has bits after column {}", name, r, columns - 1);
    }
  }
  if (layout == SparseLayout::bitmap) return mask;
  if (columns % 4 != 0) {
    throw bad_input("tensor {}: the layout 2:4 needs a multiple of 4 columns, found {}", name,
                    columns);
  }
  const std::vector<std::int64_t> offsets = mask.row_offsets();
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto at = static_cast<std::size_t>(r);
    // At most two in each of columns / 4 groups, and columns / 2 in all: just two in each.
    if (offsets[at + 1] - offsets[at] == columns / 2 &&
        std::all_of(mask.row(r), mask.row(r) + expected[1], at_most_two_of_four)) {
      continue;
    }
    throw bad_input("tensor {}: row {} does not keep two of each four elements", name, r);
  }
  return mask;
}

Tensor SparseMask::tensor() const {
  return Tensor::from_values(DType::u8, {rows_, row_bytes_}, std::span<const std::uint8_t>(bits_));
}

bool SparseMask::fits_two_four() const {
  return columns_ % 4 == 0 && std::ranges::all_of(bits_, at_most_two_of_four);
}

void SparseMask::pad_two_four() {
  const std::int64_t groups = columns_ / 4;
  for (std::int64_t r = 0; r < rows_; ++r) {
    for (std::int64_t g = 0; g < groups; ++g) {
      std::uint8_t& byte = row(r)[g / 2];
      const int shift = g % 2 == 0 ? 0 : 4;
      unsigned four = (byte >> shift) & 0x0FU;
      while (std::popcount(four) < 2) four |= four + 1;  // the lowest bit that is 0
      byte = static_cast<std::uint8_t>(byte | four << shift);
    }
  }
}

std::vector<std::int64_t> SparseMask::row_offsets() const {
  std::vector<std::int64_t> offsets{0};
  offsets.reserve(static_cast<std::size_t>(rows_) + 1);
  for (std::int64_t r = 0; r < rows_; ++r) {
    std::int64_t kept = 0;
    for (std::int64_t b = 0; b < row_bytes_; ++b) kept += std::popcount(row(r)[b]);
    offsets.push_back(offsets.back() + kept);
  }
  return offsets;
}

}  // namespace terse
