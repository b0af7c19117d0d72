#include "terse/model/weights/storage.h"

#include <algorithm>
#include <bit>
#include <optional>

#include "terse/formats/bit_packing.h"
#include "terse/formats/quantization_config.h"
#include "terse/formats/sparse_packed.h"
#include "terse/model/weights/dense.h"
#include "terse/model/weights/group_quantized.h"
#include "terse/model/weights/sparse.h"

namespace terse {
namespace {

// Bytes of what the layouts store in different ways.
struct Sizes {
  std::int64_t plain = 0;
  std::int64_t two_four = 0;
  std::int64_t bitmap = 0;
};

// A matrix pruned to 2:4 stays so, though some of what was kept is zero or rounded to it, unless
// the bitmap saves more than an eighth: all modules of a model shall be alike.
std::optional<SparseLayout> smallest_layout(const Sizes& sizes, const SparseMask& mask) {
  const bool fits = mask.fits_two_four();
  const std::int64_t limit = std::min(sizes.plain - 1, sizes.bitmap + sizes.bitmap / 8);
  if (fits && sizes.two_four <= limit) {
    return SparseLayout::two_four;
  }
  if (sizes.bitmap < sizes.plain) return SparseLayout::bitmap;
  return std::nullopt;
}

std::int64_t mask_bytes(const SparseMask& mask) {
  return mask.rows() * ((mask.columns() + 7) / 8);
}

// By its bits: arithmetic takes denormals for zero.
bool is_nonzero(float value) {
  return std::bit_cast<std::uint32_t>(value) << 1 != 0;
}

// The two numbers of a shape.
constexpr std::int64_t kShapeBytes = 16;

Sizes real_sizes(const SparseMask& mask, DType dtype) {
  const auto size = static_cast<std::int64_t>(dtype_size(dtype));
  const std::int64_t rows = mask.rows();
  const std::int64_t common = mask_bytes(mask) + kShapeBytes;
  const std::int64_t row_offsets = 8 * rows;
  return {rows * mask.columns() * size, common + rows * (mask.columns() / 2) * size,
          common + row_offsets + mask.row_offsets().back() * size};
}

Sizes quantized_sizes(const SparseMask& mask, const QuantizationScheme& scheme) {
  const auto line = [&](std::int64_t count) {
    return 4 * packed_words(count, scheme.bits, BitPacking::dense);
  };
  const std::int64_t rows = mask.rows();
  const std::int64_t common = mask_bytes(mask) + kShapeBytes;
  const bool packed = format_name(scheme) == "pack-quantized";
  return {packed ? kShapeBytes + rows * line(mask.columns()) : rows * mask.columns(),
          common + rows * line(mask.columns() / 2), common + 4 * packed_words(mask, scheme.bits)};
}

}  // namespace

std::unique_ptr<Weight> plain_weight(const Matrix& values, DType dtype, bool transposed) {
  return std::make_unique<DenseWeight>(values, dtype, transposed);
}

std::unique_ptr<Weight> plain_weight(QuantizedMatrix quantized) {
  return std::make_unique<GroupQuantizedWeight>(std::move(quantized));
}

std::unique_ptr<Weight> smallest_weight(const Matrix& values, DType dtype,
                                        bool transposed_when_dense) {
  const Tensor rounded = Tensor::from_matrix(dtype, values);
  const Matrix stored = rounded.to_matrix();
  SparseMask mask(values.rows(), values.cols(),
                  [&](std::int64_t r, std::int64_t c) { return is_nonzero(stored(r, c)); });
  const auto layout = smallest_layout(real_sizes(mask, dtype), mask);
  if (!layout) return plain_weight(stored, dtype, transposed_when_dense);
  return std::make_unique<SparseWeight>(
      SparseMatrix::from_dense(rounded, std::move(mask), *layout));
}

std::unique_ptr<Weight> smallest_weight(QuantizedMatrix quantized) {
  const SparseMask mask = nonzero_mask(quantized);
  const auto layout = smallest_layout(quantized_sizes(mask, quantized.scheme), mask);
  if (!layout) return plain_weight(std::move(quantized));
  return std::make_unique<SparseQuantizedWeight>(std::move(quantized), *layout);
}

}  // namespace terse
