// A weight whose rounding is trained, not its values (AutoRound).
#pragma once

#include <memory>
#include <vector>

#include "terse/formats/quantized_matrix.h"
#include "terse/train/parametrisation.h"

namespace terse::train {

/// Cheng et al., arXiv 2309.05516, equations 3 to 5: W [out, in] stays as it is, trained are an
/// offset V of each weight before it is rounded and two factors of the range of each grid,
///     s = (alpha max(W, 0) - beta min(W, 0)) / (2^bits - 1),   z = round(-beta min(W, 0) / s),
///     W' = s (clamp(round(W / s + V) + z, 0, 2^bits - 1) - z)
/// and for symmetric grids s = 2 alpha max|W| / (2^bits - 1), z = 2^(bits - 1). Parameters:
/// "value" V in [-1/2, 1/2], "min_scale" beta and "max_scale" alpha in [0, 1]. What is 0 stays 0.
class TunedRounding : public Parametrisation {
 public:
  /// Begins at `start`, which is `weight` rounded to the nearest points of grids; groups lie in
  /// the stored order.
  TunedRounding(const Matrix& weight, const QuantizedMatrix& start, const torch::Device& device);

  torch::Tensor weight() const override;
  torch::Tensor apply(const torch::Tensor& x, const torch::Tensor& bias) const override;
  std::vector<Parameter> parameters() const override;
  std::shared_ptr<Weight> fold(DType dtype, bool transposed) const override;

  /// The codes and grids that weight() stands for.
  QuantizedMatrix integers() const;

  /// Moves each parameter against the sign of its gradient, offsets by `rate`, ranges by
  /// `range_rate`, within their bounds; gradients are cleared.
  void step_by_sign(double rate, double range_rate);

 private:
  struct Grid {
    torch::Tensor step;  // [out, groups, 1]; [1, 1, 1] per tensor
    torch::Tensor zero;
  };
  Grid grid() const;
  void set_ranges(const QuantizedMatrix& start);
  double top() const { return start_.scheme.levels() - 1; }

  QuantizedMatrix start_;  // what of it is not trained: no codes
  torch::Tensor values_;   // [out, groups, columns of a group]
  torch::Tensor maximum_;  // of what shares a grid, as Grid; max|W| when symmetric
  torch::Tensor minimum_;
  torch::Tensor value_;
  torch::Tensor min_scale_;  // undefined when symmetric
  torch::Tensor max_scale_;
};

}  // namespace terse::train
