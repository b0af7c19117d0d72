#include "terse/train/parametrisations/ternary.h"

#include <algorithm>
#include <utility>

#include "terse/core/error.h"
#include "terse/methods/quantize/scheme_options.h"
#include "terse/model/weights/storage.h"
#include "terse/train/functions/straight_through.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

class Ternary : public Parametrisation {
 public:
  Ternary(const Matrix& weight, const QuantizationScheme& scheme, bool keep_zeros,
          const torch::Device& device)
      : scheme_(scheme), weight_(trained(weight, device)) {
    torch::Tensor counted = torch::ones_like(weight_);
    if (keep_zeros) mask_ = counted = (weight_.detach() != 0).to(torch::kFloat);
    counts_ = shared_sum(grouped(counted)).clamp_min_(1);
  }

  torch::Tensor weight() const override {
    const torch::Tensor kept = mask_.defined() ? weight_ * mask_ : weight_;
    const torch::Tensor values = grouped(kept.detach());
    const torch::Tensor scale = scales(values);
    return straight_through(kept, codes(values, scale).mul_(scale).view(kept.sizes()));
  }

  torch::Tensor apply(const torch::Tensor& x, const torch::Tensor& bias) const override {
    return Parametrisation::apply(scheme_.activations ? round_inputs(*scheme_.activations, x) : x,
                                  bias);
  }

  std::vector<Parameter> parameters() const override { return {{"weight", weight_}}; }

  std::shared_ptr<Weight> fold(DType /*dtype*/, bool /*transposed*/) const override {
    const torch::NoGradGuard no_grad;
    const torch::Tensor values = grouped(mask_.defined() ? weight_ * mask_ : weight_);
    const torch::Tensor scale = scales(values);
    QuantizedMatrix result = empty_result(scheme_, weight_.size(0), weight_.size(1));
    result.scales = to_matrix(scale.squeeze(-1));
    result.codes = to_bytes(codes(values, scale).add_(scheme_.middle()));
    std::ranges::fill(result.zeros, static_cast<std::uint8_t>(scheme_.middle()));
    if (mask_.defined()) return smallest_weight(std::move(result));
    return plain_weight(std::move(result));
  }

 private:
  // [out, groups, columns of a group].
  torch::Tensor grouped(const torch::Tensor& values) const {
    return values.view({values.size(0), scheme_.groups(values.size(1)), -1});
  }

  // Equation 3, for what shares a scale: [out, groups, 1], or [1, 1, 1] per tensor.
  torch::Tensor scales(const torch::Tensor& values) const {
    return rounded_scales(scheme_.scale_dtype, shared_sum(values.abs()) / counts_);
  }

  // First within rows, so that the sum does not depend on the number of threads.
  torch::Tensor shared_sum(const torch::Tensor& values) const {
    const torch::Tensor sums = values.sum(-1, true);
    return scheme_.strategy == QuantizationStrategy::tensor ? sums.sum(0, true) : sums;
  }

  // Equations 1 and 2: -1, 0 or 1.
  static torch::Tensor codes(const torch::Tensor& values, const torch::Tensor& scale) {
    return (values / scale).clamp_(-1, 1).round_();
  }

  QuantizationScheme scheme_;
  torch::Tensor weight_;  // [out, in]
  torch::Tensor mask_;    // undefined where zeros may change
  torch::Tensor counts_;  // values that a scale is the mean of, as scales()
};

}  // namespace

std::unique_ptr<Parametrisation> ternary_parametrisation(const Matrix& weight,
                                                         const QuantizationScheme& scheme,
                                                         bool keep_zeros,
                                                         const torch::Device& device) {
  check_width("weight", weight.cols(), scheme);
  if (scheme.bits != 2 || !scheme.symmetric) {
    throw failure("ternary weights are symmetric integers of 2 bits; found {} bits{}", scheme.bits,
                  scheme.symmetric ? "" : ", asymmetric");
  }
  if (scheme.activations && !scheme.activations->dynamic()) {
    throw failure("ternary weights take dynamic inputs; found static ones");
  }
  return std::make_unique<Ternary>(weight, scheme, keep_zeros, device);
}

}  // namespace terse::train
