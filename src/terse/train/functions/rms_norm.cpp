#include "terse/train/functions/rms_norm.h"

#include "terse/kernels/training_math.h"
#include "terse/kernels/vector_math.h"
#include "terse/train/functions/row_tiles.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// Keeps the input alone: the norms of the rows are computed again.
struct FusedRmsNorm : torch::autograd::Function<FusedRmsNorm> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x,
                               const torch::Tensor& weight, double eps) {
    context->save_for_backward({x, weight});
    context->saved_data["eps"] = eps;
    torch::Tensor out = torch::empty_like(x);
    const std::int64_t size = x.size(-1);
    for_each_row(x.numel() / size, [&, from = x.data_ptr<float>(), to = out.data_ptr<float>(),
                                    w = weight.data_ptr<float>()](std::int64_t row) {
      kernels::rms_norm(from + row * size, w, static_cast<float>(eps), size, to + row * size);
    });
    return out;
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& grads) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor &x = saved[0], &weight = saved[1];
    const auto eps = static_cast<float>(context->saved_data["eps"].toDouble());
    const torch::Tensor grad = grads[0].contiguous();
    torch::Tensor x_grad = torch::empty_like(x);
    const std::int64_t size = x.size(-1);
    const float* from = x.data_ptr<float>();
    const float* w = weight.data_ptr<float>();
    const float* dy = grad.data_ptr<float>();
    float* dx = x_grad.data_ptr<float>();
    const torch::Tensor weight_grad =
        sum_over_rows(x.numel() / size, size, [&](std::int64_t row, float* sum) {
          kernels::rms_norm_backward(from + row * size, w, dy + row * size, eps, size,
                                     dx + row * size, sum);
        });
    return {x_grad, weight_grad, {}};
  }
};

}  // namespace

torch::Tensor rms_norm(const torch::Tensor& x, const torch::Tensor& weight, double eps) {
  if (fusible(x) && fusible(weight)) return FusedRmsNorm::apply(x, weight, eps);
  return x * torch::rsqrt(x.square().mean(-1, true) + eps) * weight;
}

}  // namespace terse::train
