// The float32 product with a weight of integer codes, which are widened by blocks.
#include <algorithm>

#include "terse/core/threads.h"
#include "terse/kernels/float_panels.h"
#include "terse/kernels/kernel_table.h"
#include "terse/kernels/packed_integers.h"

namespace terse::kernels {
namespace {

/// Columns are taken in even numbers of blocks, which are multiples of 32.
class ExpandedPanels : public FloatPanels {
 public:
  explicit ExpandedPanels(const PackedIntegers& w) : w_(w) {}

  std::int64_t rows() const override { return w_.rows(); }
  std::int64_t columns() const override { return w_.packed_columns(); }
  std::int64_t depth() const override {
    return 2 * w_.format().block * (kLargestBlock / w_.format().block);
  }

  const float* floats(std::int64_t panel, std::int64_t k, std::int64_t count,
                      float* buffer) const override {
    thread_local AlignedVector<std::byte> unpacked;
    const std::int64_t blocks = count / w_.format().block;
    unpacked.resize(
        static_cast<std::size_t>(blocks * (kUnpackedHeader + w_.format().block * kPanelWidth)));
    w_.unpack(panel, k / w_.format().block, blocks, unpacked.data());
    kernel_table().unpacked_to_float(w_.format(), unpacked.data(), blocks, buffer);
    return buffer;
  }

  std::span<const std::byte> stored(std::int64_t panel, std::int64_t k,
                                    std::int64_t count) const override {
    const std::int64_t blocks = count / w_.format().block;
    return {w_.block(panel, k / w_.format().block),
            static_cast<std::size_t>(blocks * w_.format().block_bytes)};
  }

 private:
  const PackedIntegers& w_;
};

}  // namespace

void multiply(const float* x, std::int64_t x_stride, std::int64_t rows, const PackedIntegers& w,
              float* y, std::int64_t y_stride) {
  if (w.order().empty()) return multiply(x, x_stride, rows, ExpandedPanels(w), y, y_stride);
  const std::int64_t columns = w.packed_columns();
  AlignedVector<float> ordered(static_cast<std::size_t>(rows * columns));
  parallel_tiles(rows, 8, [&](std::int64_t first, std::int64_t count) {
    for (std::int64_t row = first; row < first + count; ++row) {
      w.put_in_order(x + row * x_stride, ordered.data() + row * columns);
    }
  });
  multiply(ordered.data(), columns, rows, ExpandedPanels(w), y, y_stride);
}

}  // namespace terse::kernels
