// Weights stored as integers with scales (compressed-tensors `pack-quantized`, `int-quantized`).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "terse/formats/quantized_matrix.h"
#include "terse/formats/sparse_config.h"
#include "terse/kernels/panels.h"
#include "terse/model/weight.h"

namespace terse {

/// "4 bits group 128", "8 bits per channel, inputs 8 bits per token"; with a layout that of a
/// sparse weight, "4 bits group 128 2:4".
std::string scheme_kind(const QuantizationScheme& scheme,
                        std::optional<SparseLayout> layout = std::nullopt);

/// Integer codes with a scale per tensor, channel or group. Multiplies by its float32 expansion,
/// after rounding the inputs where the scheme says so.
class GroupQuantizedWeight : public Weight {
 public:
  explicit GroupQuantizedWeight(QuantizedMatrix quantized) : quantized_(std::move(quantized)) {}

  std::int64_t rows() const override { return quantized_.rows; }
  std::int64_t columns() const override { return quantized_.columns; }
  void prepare() override;
  void multiply(const Matrix& x, Matrix& y) const override;
  ProductCost cost() const override { return cost_of(panels_); }
  void row(std::int64_t index, float* out) const override;
  Matrix dense() const override { return quantized_.dense(); }
  std::vector<NamedTensor> tensors(const std::string& module) const override;
  std::string kind() const override;
  Json config() const override;

  const QuantizedMatrix& quantized() const { return quantized_; }

 private:
  QuantizedMatrix quantized_;
  kernels::Panels panels_;
};

}  // namespace terse
