#include "terse/train/functions/rotary.h"

#include "terse/kernels/vector_math.h"
#include "terse/train/functions/row_tiles.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

torch::Tensor turned(const torch::Tensor& x, const torch::Tensor& cosine, const torch::Tensor& sine,
                     std::int64_t head_dim) {
  torch::Tensor out = x.clone();
  const std::int64_t size = x.size(1);
  const std::int64_t length = cosine.size(0);
  const std::int64_t pairs = cosine.size(1);
  const float* c = cosine.data_ptr<float>();
  const float* s = sine.data_ptr<float>();
  float* y = out.data_ptr<float>();
  for_each_row(x.size(0), [&](std::int64_t row) {
    const std::int64_t at = row % length * pairs;
    for (std::int64_t head = 0; head < size; head += head_dim) {
      kernels::rotate_half(y + row * size + head, c + at, s + at, pairs);
    }
  });
  return out;
}

// A turn keeps nothing of its input: its gradient is turned back.
struct FusedRotary : torch::autograd::Function<FusedRotary> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x,
                               const torch::Tensor& cosine, const torch::Tensor& sine,
                               std::int64_t head_dim) {
    context->save_for_backward({cosine, sine});
    context->saved_data["head_dim"] = head_dim;
    return turned(x, cosine, sine, head_dim);
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& grads) {
    const auto saved = context->get_saved_variables();
    return {
        turned(grads[0].contiguous(), saved[0], -saved[1], context->saved_data["head_dim"].toInt()),
        {},
        {},
        {}};
  }
};

}  // namespace

torch::Tensor rotate_heads(const torch::Tensor& x, const torch::Tensor& cosine,
                           const torch::Tensor& sine, std::int64_t head_dim) {
  if (fusible(x) && fusible(cosine)) return FusedRotary::apply(x, cosine, sine, head_dim);
  const std::int64_t length = cosine.size(0);
  const std::int64_t pairs = cosine.size(1);
  const torch::Tensor heads = x.view({-1, length, x.size(1) / head_dim, head_dim});
  const torch::Tensor c = cosine.unsqueeze(1);
  const torch::Tensor s = sine.unsqueeze(1);
  const torch::Tensor a = heads.narrow(-1, 0, pairs);
  const torch::Tensor b = heads.narrow(-1, pairs, pairs);
  const torch::Tensor rest = heads.narrow(-1, 2 * pairs, head_dim - 2 * pairs);
  return torch::cat({a * c - b * s, b * c + a * s, rest}, -1).view_as(x);
}

}  // namespace terse::train
