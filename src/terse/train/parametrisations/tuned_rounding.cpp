#include "terse/train/parametrisations/tuned_rounding.h"

#include "terse/model/weights/storage.h"
#include "terse/train/functions/straight_through.h"
#include "terse/train/functions/tuned_rounding.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

// Shrunk ranges are shrunk by a hundredth or more (Clip::mse); what is less is the rounding of
// scales to their stored type.
constexpr double kShrunk = 0.995;

torch::Tensor per_grid(const torch::Tensor& of_rows, QuantizationStrategy strategy, bool largest) {
  if (strategy != QuantizationStrategy::tensor) return of_rows;
  return (largest ? of_rows.max() : of_rows.min()).view({1, 1, 1});
}

}  // namespace

TunedRounding::TunedRounding(const Matrix& weight, const QuantizedMatrix& start,
                             const torch::Device& device)
    : start_(start),
      values_(constant(weight, device).view({start.rows, start.scheme.groups(start.columns), -1})),
      value_(torch::zeros_like(values_).requires_grad_()) {
  start_.codes.clear();
  set_ranges(start);
}

void TunedRounding::set_ranges(const QuantizedMatrix& start) {
  const QuantizationStrategy strategy = start.scheme.strategy;
  maximum_ = per_grid(values_.amax(-1, true), strategy, true).clamp_min(0);
  minimum_ = per_grid(values_.amin(-1, true), strategy, false).clamp_max(0);
  const torch::Tensor empty = (maximum_ - minimum_) == 0;
  maximum_ = maximum_.masked_fill(empty, 1);
  minimum_ = minimum_.masked_fill(empty, -1);
  if (start.scheme.symmetric) {
    maximum_ = torch::maximum(maximum_, -minimum_);
    minimum_ = -maximum_;
  }
  const torch::Tensor step = constant(start.scales, values_.device()).unsqueeze(-1);
  const torch::Tensor share = step * top() / (maximum_ - minimum_);
  max_scale_ = torch::where(share < kShrunk, share, torch::ones_like(share)).requires_grad_();
  if (!start.scheme.symmetric) min_scale_ = max_scale_.detach().clone().requires_grad_();
}

TunedRounding::Grid TunedRounding::grid() const {
  const torch::Tensor maximum = max_scale_ * maximum_;
  const bool symmetric = start_.scheme.symmetric;
  const torch::Tensor minimum = symmetric ? -maximum : min_scale_ * minimum_;
  const torch::Tensor exact = (maximum - minimum) / top();
  const torch::Tensor step =
      straight_through(exact, rounded_scales(start_.scheme.scale_dtype, exact));
  if (symmetric) return {step, torch::full_like(step, start_.scheme.middle())};
  const torch::Tensor zero = -minimum / step;
  return {step, straight_through(zero, zero.detach().clamp(0, top()).round_())};
}

torch::Tensor TunedRounding::weight() const {
  const Grid now = grid();
  return round_with_offset(values_, value_, now.step, now.zero, top())
      .view({start_.rows, start_.columns});
}

torch::Tensor TunedRounding::apply(const torch::Tensor& x, const torch::Tensor& bias) const {
  if (!start_.scheme.activations) return Parametrisation::apply(x, bias);
  const ActivationScheme& inputs = *start_.scheme.activations;
  if (inputs.dynamic()) return Parametrisation::apply(round_inputs(inputs, x), bias);
  const torch::Tensor step = torch::full({1, 1}, start_.input_scale, x.options());
  const torch::Tensor rounded = on_static_grid(inputs, x, step, start_.input_zero);
  return Parametrisation::apply(straight_through(x, rounded), bias);
}

std::vector<Parameter> TunedRounding::parameters() const {
  std::vector<Parameter> all{{"value", value_}, {"max_scale", max_scale_}};
  if (min_scale_.defined()) all.push_back({"min_scale", min_scale_});
  return all;
}

QuantizedMatrix TunedRounding::integers() const {
  const torch::NoGradGuard no_grad;
  const Grid now = grid();
  QuantizedMatrix result = start_;
  result.scales = to_matrix(now.step.squeeze(-1));
  result.zeros = to_bytes(now.zero);
  result.codes =
      to_bytes((values_ / now.step).add_(value_).round_().add_(now.zero).clamp_(0, top()));
  return result;
}

std::shared_ptr<Weight> TunedRounding::fold(DType /*dtype*/, bool /*transposed*/) const {
  return plain_weight(integers());
}

void TunedRounding::step_by_sign(double rate, double range_rate) {
  const torch::NoGradGuard no_grad;
  const auto step = [](torch::Tensor& parameter, double by, double least, double most) {
    if (!parameter.defined()) return;
    parameter.sub_(parameter.grad().sign(), by).clamp_(least, most);
    parameter.mutable_grad() = torch::Tensor();
  };
  step(value_, rate, -0.5, 0.5);
  step(min_scale_, range_rate, 0, 1);
  step(max_scale_, range_rate, 0, 1);
}

}  // namespace terse::train
