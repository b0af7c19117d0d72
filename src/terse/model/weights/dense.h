// Weights stored as plain real numbers.
#pragma once

#include "terse/kernels/panels.h"
#include "terse/model/weight.h"

namespace terse {

/// A dense weight: bfloat16 and float16 stay so in memory, arithmetic is float32.
class DenseWeight : public Weight {
 public:
  /// `tensor` is [rows, columns], or [columns, rows] when `transposed` (GPT-2's Conv1D).
  explicit DenseWeight(Tensor tensor, bool transposed = false);

  /// Stores float32 values as `dtype`.
  DenseWeight(const Matrix& values, DType dtype, bool transposed = false);

  std::int64_t rows() const override { return rows_; }
  std::int64_t columns() const override { return columns_; }
  void prepare() override;
  void multiply(const Matrix& x, Matrix& y) const override;
  ProductCost cost() const override { return cost_of(panels_); }
  void row(std::int64_t index, float* out) const override;
  Matrix dense() const override;
  std::vector<NamedTensor> tensors(const std::string& module) const override;
  std::string kind() const override;

 private:
  Tensor tensor_;
  bool transposed_;
  std::int64_t rows_;
  std::int64_t columns_;
  kernels::Panels panels_;
};

}  // namespace terse
