// Sparse weights: only the elements that are not zero are stored.
#pragma once

#include "terse/formats/sparse_bitmask.h"
#include "terse/kernels/panels.h"
#include "terse/model/weight.h"
#include "terse/model/weights/group_quantized.h"

namespace terse {

/// Real numbers. Multiplies by its dense expansion, which has the type of the values. Zeros that
/// are not stored are +0.
class SparseWeight : public Weight {
 public:
  explicit SparseWeight(SparseMatrix matrix) : matrix_(std::move(matrix)) {}

  std::int64_t rows() const override { return matrix_.mask.rows(); }
  std::int64_t columns() const override { return matrix_.mask.columns(); }
  void prepare() override;
  void multiply(const Matrix& x, Matrix& y) const override;
  ProductCost cost() const override { return cost_of(panels_); }
  void row(std::int64_t index, float* out) const override { matrix_.row(index, out); }
  Matrix dense() const override { return matrix_.dense().to_matrix(); }
  std::vector<NamedTensor> tensors(const std::string& module) const override;
  std::string kind() const override;
  Json config() const override;

  const SparseMatrix& matrix() const { return matrix_; }

 private:
  SparseMatrix matrix_;
  kernels::Panels panels_;
};

/// Integers, of which only those that do not stand for zero are stored. In memory, and for
/// products, they are packed in slots where that is clearly smaller (kernels/slot_codes.h), else as
/// any quantised weight.
class SparseQuantizedWeight : public GroupQuantizedWeight {
 public:
  SparseQuantizedWeight(QuantizedMatrix quantized, SparseLayout layout,
                        ActivationType activations = ActivationType::f32)
      : GroupQuantizedWeight(std::move(quantized), activations), layout_(layout) {}

  /// Errors: failed for the layout 2:4 when more than two of four are not zero.
  std::vector<NamedTensor> tensors(const std::string& module) const override;
  std::string kind() const override { return scheme_kind(scheme(), layout_); }
  Json config() const override;

 protected:
  bool sparse() const override { return true; }

 private:
  SparseLayout layout_;
};

}  // namespace terse
