// A weight that a float32 product reads block by block, however it is stored.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace terse::kernels {

/// W [rows, columns] in panels of 32 rows.
class FloatPanels {
 public:
  virtual ~FloatPanels() = default;

  virtual std::int64_t rows() const = 0;
  virtual std::int64_t columns() const = 0;
  /// Columns that are taken at a time: a multiple of 32, at most 256.
  virtual std::int64_t depth() const = 0;

  /// Columns [k, k + count) of a panel, as [count, 32]: where they lie, or in `buffer`, which has
  /// room for depth() columns. k is a multiple of depth().
  virtual const float* floats(std::int64_t panel, std::int64_t k, std::int64_t count,
                              float* buffer) const = 0;

  /// What `floats` reads.
  virtual std::span<const std::byte> stored(std::int64_t panel, std::int64_t k,
                                            std::int64_t count) const = 0;
};

/// y = x W^T; see `multiply` of panels.h for the promise.
void multiply(const float* x, std::int64_t x_stride, std::int64_t rows, const FloatPanels& w,
              float* y, std::int64_t y_stride);

}  // namespace terse::kernels
