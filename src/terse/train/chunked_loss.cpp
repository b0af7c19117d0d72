#include "terse/train/chunked_loss.h"

#include <algorithm>

#include "terse/train/functions/linear.h"
#include "terse/train/functions/matrix_product.h"
#include "terse/train/functions/row_tiles.h"

namespace terse::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

struct Gradients {
  torch::Tensor hidden, weight, bias;
  double loss = 0;
};

Gradients walk(const torch::Tensor& hidden, const torch::Tensor& weight, const torch::Tensor& bias,
               RowLoss& loss, double scale, std::int64_t rows_at_once, bool weight_wanted) {
  Gradients sums;
  sums.hidden = torch::empty_like(hidden);
  if (weight_wanted) sums.weight = torch::zeros_like(weight);
  if (bias.defined()) sums.bias = torch::zeros_like(bias);
  for (std::int64_t first = 0; first < hidden.size(0); first += rows_at_once) {
    const std::int64_t rows = std::min(rows_at_once, hidden.size(0) - first);
    const torch::Tensor x = hidden.narrow(0, first, rows);
    torch::Tensor logits = apply_linear(x, weight, bias);
    sums.loss += loss.sum_and_gradient(first, logits);
    multiply_into(sums.hidden.narrow(0, first, rows), {logits}, {weight});
    if (weight_wanted) multiply_into(sums.weight, {logits, true}, {x}, true);
    if (bias.defined()) sums.bias += column_sums(logits);
  }
  sums.hidden *= scale;
  if (weight_wanted) sums.weight *= scale;
  if (bias.defined()) sums.bias *= scale;
  return sums;
}

// An autograd function takes no undefined tensor: an empty one stands for it.
struct ChunkedLoss : torch::autograd::Function<ChunkedLoss> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& hidden,
                               const torch::Tensor& weight, const torch::Tensor& bias,
                               RowLoss* loss, double scale, std::int64_t rows_at_once) {
    const torch::Tensor used = bias.numel() > 0 ? bias : torch::Tensor();
    Gradients sums = walk(hidden, weight, used, *loss, scale, rows_at_once, weight.requires_grad());
    context->save_for_backward({sums.hidden, sums.weight, sums.bias});
    return torch::full({}, sums.loss * scale, hidden.options());
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& grads) {
    const auto saved = context->get_saved_variables();
    const auto scaled = [&](const torch::Tensor& grad) {
      return grad.defined() ? grad * grads[0] : grad;
    };
    return {scaled(saved[0]), scaled(saved[1]), scaled(saved[2]), {}, {}, {}};
  }
};

}  // namespace

torch::Tensor chunked_loss(const torch::Tensor& hidden, const torch::Tensor& weight,
                           const torch::Tensor& bias, RowLoss& loss, double scale,
                           std::int64_t rows_at_once) {
  const torch::Tensor bias_or_empty = bias.defined() ? bias : torch::empty({0}, weight.options());
  return ChunkedLoss::apply(hidden, weight, bias_or_empty, &loss, scale, rows_at_once);
}

double loss_sum(const torch::Tensor& hidden, const torch::Tensor& weight, const torch::Tensor& bias,
                RowLoss& loss, std::int64_t rows_at_once) {
  const torch::NoGradGuard no_grad;
  double sum = 0;
  for (std::int64_t first = 0; first < hidden.size(0); first += rows_at_once) {
    const std::int64_t rows = std::min(rows_at_once, hidden.size(0) - first);
    torch::Tensor logits = apply_linear(hidden.narrow(0, first, rows), weight, bias);
    sum += loss.sum_and_gradient(first, logits);
  }
  return sum;
}

}  // namespace terse::train
