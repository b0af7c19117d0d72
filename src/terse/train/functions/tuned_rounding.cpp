#include "terse/train/functions/tuned_rounding.h"

#include "terse/train/functions/straight_through.h"

namespace terse::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// Everything is made again from the inputs in the backward pass: of a weight nothing is kept but
// what it is made from.
struct RoundWithOffset : torch::autograd::Function<RoundWithOffset> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& values,
                               const torch::Tensor& offset, const torch::Tensor& step,
                               const torch::Tensor& zero, double top) {
    context->save_for_backward({values, offset, step, zero});
    context->saved_data["top"] = top;
    return (values / step).add_(offset).round_().add_(zero).clamp_(0, top).sub_(zero).mul_(step);
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& grads) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor &offset = saved[1], &step = saved[2], &zero = saved[3];
    const double top = context->saved_data["top"].toDouble();
    const torch::Tensor position = saved[0] / step;
    const torch::Tensor code = (position + offset).round_().add_(zero);
    const torch::Tensor inside = (code >= 0).logical_and_(code <= top);
    const torch::Tensor multiple = code.clamp_(0, top).sub_(zero);
    const torch::Tensor of_step = torch::where(inside, multiple - position, multiple);
    const torch::Tensor through = grads[0] * step;
    return {{},
            through * inside,
            sum_to(grads[0] * of_step, step),
            sum_to(-through * inside.logical_not(), zero),
            {}};
  }
};

}  // namespace

torch::Tensor round_with_offset(const torch::Tensor& values, const torch::Tensor& offset,
                                const torch::Tensor& step, const torch::Tensor& zero, double top) {
  return RoundWithOffset::apply(values, offset, step, zero, top);
}

}  // namespace terse::train
