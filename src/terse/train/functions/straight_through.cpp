#include "terse/train/functions/straight_through.h"

#include <limits>

#include "terse/methods/quantize/grid.h"

namespace terse::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

struct StraightThrough : torch::autograd::Function<StraightThrough> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& /*x*/,
                               const torch::Tensor& value, double factor) {
    context->saved_data["factor"] = factor;
    return value;
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& grads) {
    const double factor = context->saved_data["factor"].toDouble();
    return {factor == 1.0 ? grads[0] : grads[0] * factor, {}, {}};
  }
};

// Keeps the value, which the product that it goes into keeps too, rather than k.
struct OnLearnedGrid : torch::autograd::Function<OnLearnedGrid> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x,
                               const torch::Tensor& step, const torch::Tensor& value) {
    context->save_for_backward({x, step, value});
    return value;
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& grads) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor &x = saved[0], &step = saved[1];
    const torch::Tensor position = x / step;
    const torch::Tensor k = (saved[2] / step).round_();
    const torch::Tensor off = k - position;
    const torch::Tensor inside = off.abs() <= 0.5;
    return {grads[0] * inside, sum_to(grads[0] * torch::where(inside, off, k), step), {}};
  }
};

// activation_grid and round_activations of the core, operation by operation.
torch::Tensor dynamic_rounding(const ActivationScheme& scheme, const torch::Tensor& x) {
  const double half = 1 << (scheme.bits - 1);
  const double steps = 2 * half - 1;
  const torch::Tensor minimum = x.amin(-1, true).clamp_max_(0);
  const torch::Tensor maximum = x.amax(-1, true).clamp_min_(0);
  const torch::Tensor width = scheme.symmetric ? torch::maximum(maximum, -minimum) / (steps / 2)
                                               : (maximum - minimum) / steps;
  const torch::Tensor scale =
      width.masked_fill(width == 0, static_cast<double>(std::numeric_limits<float>::epsilon()));
  if (scheme.symmetric) return (x / scale).clamp_(-half, half - 1).round_().mul_(scale);
  const torch::Tensor zero = (-half - minimum / scale).clamp_(-half, half - 1).round_();
  return (x / scale).add_(zero).clamp_(-half, half - 1).round_().sub_(zero).mul_(scale);
}

}  // namespace

torch::Tensor straight_through(const torch::Tensor& x, const torch::Tensor& value, double factor) {
  return StraightThrough::apply(x, value, factor);
}

torch::Tensor on_learned_grid(const torch::Tensor& x, const torch::Tensor& step,
                              const torch::Tensor& value) {
  return OnLearnedGrid::apply(x, step, value);
}

torch::Tensor round_inputs(const ActivationScheme& scheme, const torch::Tensor& x) {
  return straight_through(x, dynamic_rounding(scheme, x.detach()));
}

torch::Tensor sum_to(const torch::Tensor& values, const torch::Tensor& shared) {
  return values.sum(-1, true).sum_to_size(shared.sizes());
}

torch::Tensor on_static_grid(const ActivationScheme& scheme, const torch::Tensor& x,
                             const torch::Tensor& step, double zero) {
  const double half = 1 << (scheme.bits - 1);
  const torch::Tensor position = (x.detach() / step.detach()).add_(zero);
  return position.clamp_(-half, half - 1).round_().sub_(zero).mul_(step.detach());
}

torch::Tensor rounded_scales(DType dtype, const torch::Tensor& scales) {
  torch::Tensor rounded = scales.detach();
  if (dtype == DType::f16) rounded = rounded.to(torch::kHalf).to(torch::kFloat);
  if (dtype == DType::bf16) rounded = rounded.to(torch::kBFloat16).to(torch::kFloat);
  return rounded.clamp(round_scale(dtype, 0.0F),
                       round_scale(dtype, std::numeric_limits<float>::max()));
}

}  // namespace terse::train
