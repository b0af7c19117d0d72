// Matrix product with a packed right-hand side; float32 arithmetic over f32, bf16 or f16 storage.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "terse/core/tensor.h"
#include "terse/kernels/aligned.h"
#include "terse/kernels/storage.h"

namespace terse::kernels {

/// How kernels know a type; f32 for all but bf16 and f16.
Storage storage_of(DType dtype);

/// A weight W [n, k] packed for y = x W^T. Rows of W are grouped by 32 into panels; a panel holds,
/// for each k, its 32 values side by side, in the storage type (f32, bf16 or f16). The last panel
/// is padded with zeros.
class Panels {
 public:
  static constexpr std::int64_t kWidth = 32;

  Panels() = default;

  /// Packs float32 rows. W[i, j] is at source[i * stride + j].
  static Panels pack(const float* source, std::int64_t n, std::int64_t k, std::int64_t stride);

  /// Packs a stored tensor [n, k] without changing its values; f32, bf16 and f16 keep their type,
  /// other real types become f32. With `transposed` the tensor is [k, n] (GPT-2's Conv1D).
  /// Errors: bad_input if the tensor has not two dimensions, failed if its type is not real.
  static Panels pack(const Tensor& tensor, bool transposed = false);

  std::int64_t rows() const { return n_; }
  std::int64_t columns() const { return k_; }
  DType dtype() const { return dtype_; }
  std::size_t bytes() const { return storage_.size(); }

  /// Panel `index`: k * 32 values, aligned to 64 bytes.
  const std::byte* panel(std::int64_t index) const;

  /// Row `row` as float32 (embedding look-up), `columns()` values.
  void unpack_row(std::int64_t row, float* out) const;

 private:
  DType dtype_ = DType::f32;
  std::int64_t n_ = 0;
  std::int64_t k_ = 0;
  WeightStorage storage_;
};

/// y = x W^T: x [rows, k] with row stride x_stride, y [rows, n] with row stride y_stride.
/// Batch-invariant: y[r, c] is one chain of multiply-adds over k in ascending order, whatever the
/// number of rows, threads, or the tile it falls into. Runs on all threads (or on the calling
/// thread inside a parallel region).
void multiply(const float* x, std::int64_t x_stride, std::int64_t rows, const Panels& w, float* y,
              std::int64_t y_stride);

}  // namespace terse::kernels
