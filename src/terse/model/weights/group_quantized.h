// Weights stored as integers with scales (compressed-tensors `pack-quantized`, `int-quantized`).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "terse/formats/quantized_matrix.h"
#include "terse/formats/sparse_config.h"
#include "terse/kernels/packed_integers.h"
#include "terse/model/weight.h"

namespace terse {

/// "4 bits group 128", "8 bits per channel, inputs 8 bits per token"; with a layout that of a
/// sparse weight, "4 bits group 128 2:4".
std::string scheme_kind(const QuantizationScheme& scheme,
                        std::optional<SparseLayout> layout = std::nullopt);

/// Integer codes with a scale per tensor, channel or group. Products read the codes packed for the
/// kernels; inputs are rounded where the scheme or `activations` says so.
class GroupQuantizedWeight : public Weight {
 public:
  explicit GroupQuantizedWeight(QuantizedMatrix quantized,
                                ActivationType activations = ActivationType::f32)
      : stored_(std::move(quantized)), activations_(activations) {}

  std::int64_t rows() const override { return stored_.rows; }
  std::int64_t columns() const override { return stored_.columns; }
  void prepare() override;
  void multiply(const Matrix& x, Matrix& y) const override;
  ProductCost cost() const override { return cost_of(packed_); }
  void row(std::int64_t index, float* out) const override;
  Matrix dense() const override;
  std::vector<NamedTensor> tensors(const std::string& module) const override;
  std::string kind() const override;
  Json config() const override;

  const QuantizationScheme& scheme() const { return stored_.scheme; }
  QuantizedMatrix quantized() const;

 protected:
  /// Whether so many codes stand for 0 that products may be faster without them.
  virtual bool sparse() const { return false; }

 private:
  bool prepared() const { return packed_.rows() != 0; }
  bool finite() const;  // every value that the codes stand for
  std::optional<kernels::InputGrid> input_grid() const;

  QuantizedMatrix stored_;  // without what is packed, once it is
  ActivationType activations_;
  kernels::PackedIntegers packed_;
};

}  // namespace terse
