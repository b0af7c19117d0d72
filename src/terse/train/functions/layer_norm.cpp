#include "terse/train/functions/layer_norm.h"

#include <cmath>

#include "terse/train/functions/row_tiles.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// Mean of a row, and what its distance from the mean is multiplied by.
struct RowNorm {
  double mean = 0;
  double factor = 0;
};

RowNorm norm_of(const float* row, std::int64_t size, double eps) {
  RowNorm norm;
  for (std::int64_t i = 0; i < size; ++i) norm.mean += static_cast<double>(row[i]);
  norm.mean /= static_cast<double>(size);
  double squares = 0;
  for (std::int64_t i = 0; i < size; ++i) {
    const double distance = static_cast<double>(row[i]) - norm.mean;
    squares += distance * distance;
  }
  norm.factor = 1.0 / std::sqrt(squares / static_cast<double>(size) + eps);
  return norm;
}

// With u = dy weight and n the normalised row: dx = factor (u - mean(u) - n mean(u n)); adds dy n
// to `weight_grad` and dy to `bias_grad`.
void row_backward(const float* x, const float* weight, const float* dy, std::int64_t size,
                  double eps, float* dx, float* weight_grad, float* bias_grad) {
  const RowNorm norm = norm_of(x, size, eps);
  const auto normalised = [&](std::int64_t i) {
    return (static_cast<double>(x[i]) - norm.mean) * norm.factor;
  };
  double sum = 0;
  double product = 0;
  for (std::int64_t i = 0; i < size; ++i) {
    const double u = static_cast<double>(dy[i]) * static_cast<double>(weight[i]);
    sum += u;
    product += u * normalised(i);
  }
  sum /= static_cast<double>(size);
  product /= static_cast<double>(size);
  for (std::int64_t i = 0; i < size; ++i) {
    const double u = static_cast<double>(dy[i]) * static_cast<double>(weight[i]);
    const double n = normalised(i);
    dx[i] = static_cast<float>(norm.factor * (u - sum - n * product));
    weight_grad[i] += dy[i] * static_cast<float>(n);
    bias_grad[i] += dy[i];
  }
}

// Keeps the input alone, as FusedRmsNorm does.
struct FusedLayerNorm : torch::autograd::Function<FusedLayerNorm> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x,
                               const torch::Tensor& weight, const torch::Tensor& bias, double eps) {
    context->save_for_backward({x, weight});
    context->saved_data["eps"] = eps;
    torch::Tensor out = torch::empty_like(x);
    const std::int64_t size = x.size(-1);
    const float* w = weight.data_ptr<float>();
    const float* b = bias.data_ptr<float>();
    for_each_row(x.numel() / size,
                 [&, from = x.data_ptr<float>(), to = out.data_ptr<float>()](std::int64_t row) {
                   const float* values = from + row * size;
                   const RowNorm norm = norm_of(values, size, eps);
                   for (std::int64_t i = 0; i < size; ++i) {
                     const double n = (static_cast<double>(values[i]) - norm.mean) * norm.factor;
                     to[row * size + i] = static_cast<float>(n) * w[i] + b[i];
                   }
                 });
    return out;
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& grads) {
    const auto saved = context->get_saved_variables();
    const double eps = context->saved_data["eps"].toDouble();
    const torch::Tensor grad = grads[0].contiguous();
    torch::Tensor x_grad = torch::empty_like(saved[0]);
    const std::int64_t size = grad.size(-1);
    const float* x = saved[0].data_ptr<float>();
    const float* weight = saved[1].data_ptr<float>();
    const float* dy = grad.data_ptr<float>();
    float* dx = x_grad.data_ptr<float>();
    const torch::Tensor sums =
        sum_over_rows(grad.numel() / size, 2 * size, [&](std::int64_t row, float* sum) {
          row_backward(x + row * size, weight, dy + row * size, size, eps, dx + row * size, sum,
                       sum + size);
        });
    return {x_grad, sums.narrow(0, 0, size).clone(), sums.narrow(0, size, size).clone(), {}};
  }
};

}  // namespace

torch::Tensor layer_norm(const torch::Tensor& x, const torch::Tensor& weight,
                         const torch::Tensor& bias, double eps) {
  if (fusible(x) && fusible(weight) && fusible(bias)) {
    return FusedLayerNorm::apply(x, weight, bias, eps);
  }
  return torch::layer_norm(x, {x.size(-1)}, weight, bias, eps);
}

}  // namespace terse::train
