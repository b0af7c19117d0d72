#include "terse/train/functions/linear.h"

#include "terse/train/functions/matrix_product.h"
#include "terse/train/functions/row_tiles.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

struct FixedLinear : torch::autograd::Function<FixedLinear> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x,
                               const torch::Tensor& weight) {
    context->save_for_backward({x, weight});
    context->saved_data["x"] = x.requires_grad();
    context->saved_data["weight"] = weight.requires_grad();
    return product({x}, {weight, true});
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& grads) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor grad = grads[0].contiguous();
    torch::Tensor x_grad, weight_grad;
    if (context->saved_data["x"].toBool()) x_grad = product({grad}, {saved[1]});
    if (context->saved_data["weight"].toBool()) weight_grad = product({grad, true}, {saved[0]});
    return {x_grad, weight_grad};
  }
};

struct AddBias : torch::autograd::Function<AddBias> {
  static torch::Tensor forward(AutogradContext* /*context*/, const torch::Tensor& x,
                               const torch::Tensor& bias) {
    return x + bias;
  }

  static tensor_list backward(AutogradContext* /*context*/, const tensor_list& grads) {
    return {grads[0], column_sums(grads[0])};
  }
};

}  // namespace

torch::Tensor apply_linear(const torch::Tensor& x, const torch::Tensor& weight,
                           const torch::Tensor& bias) {
  const torch::Tensor inputs = x.contiguous();
  if (!fusible(inputs) || !fusible(weight)) return torch::linear(inputs, weight, bias);
  const torch::Tensor y = FixedLinear::apply(inputs, weight);
  return bias.defined() ? AddBias::apply(y, bias) : y;
}

}  // namespace terse::train
