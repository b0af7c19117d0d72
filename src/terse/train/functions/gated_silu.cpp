#include "terse/train/functions/gated_silu.h"

#include <cstring>

#include "terse/kernels/training_math.h"
#include "terse/kernels/vector_math.h"
#include "terse/train/functions/row_tiles.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// Keeps gate and up; libtorch's own would keep the sigmoid and the product too.
struct FusedGatedSilu : torch::autograd::Function<FusedGatedSilu> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& gate,
                               const torch::Tensor& up) {
    context->save_for_backward({gate, up});
    torch::Tensor out = torch::empty_like(gate);
    const std::int64_t size = gate.size(-1);
    const float* g = gate.data_ptr<float>();
    const float* u = up.data_ptr<float>();
    float* y = out.data_ptr<float>();
    for_each_row(gate.numel() / size, [&](std::int64_t row) {
      std::memcpy(y + row * size, g + row * size, static_cast<std::size_t>(size) * sizeof(float));
      kernels::silu(y + row * size, u + row * size, size);
    });
    return out;
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& grads) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor grad = grads[0].contiguous();
    torch::Tensor gate_grad = torch::empty_like(grad);
    torch::Tensor up_grad = torch::empty_like(grad);
    const std::int64_t size = grad.size(-1);
    const float* g = saved[0].data_ptr<float>();
    const float* u = saved[1].data_ptr<float>();
    const float* dy = grad.data_ptr<float>();
    float* dg = gate_grad.data_ptr<float>();
    float* du = up_grad.data_ptr<float>();
    for_each_row(grad.numel() / size, [&](std::int64_t row) {
      const std::int64_t at = row * size;
      kernels::gated_silu_backward(g + at, u + at, dy + at, size, dg + at, du + at);
    });
    return {gate_grad, up_grad};
  }
};

}  // namespace

torch::Tensor gated_silu(const torch::Tensor& gate, const torch::Tensor& up) {
  if (fusible(gate) && fusible(up)) return FusedGatedSilu::apply(gate, up);
  return torch::silu(gate) * up;
}

}  // namespace terse::train
