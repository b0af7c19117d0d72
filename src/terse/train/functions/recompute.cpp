#include "terse/train/functions/recompute.h"

namespace terse::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// Holds the part for the backward pass: a context keeps custom classes only.
struct PartHolder : torch::CustomClassHolder {
  Part part;
};

struct Recomputed : torch::autograd::Function<Recomputed> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x,
                               const torch::Tensor& /*link*/,
                               const c10::intrusive_ptr<PartHolder>& holder) {
    context->save_for_backward({x});
    context->saved_data["part"] = torch::IValue::make_capsule(holder);
    return holder->part(x);
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& grads) {
    const auto holder =
        c10::static_intrusive_pointer_cast<PartHolder>(context->saved_data["part"].toCapsule());
    const torch::AutoGradMode enabled(true);
    const torch::Tensor x = context->get_saved_variables()[0].detach().requires_grad_();
    holder->part(x).backward(grads[0]);
    return {x.grad(), {}, {}};
  }
};

}  // namespace

torch::Tensor recomputed(const Part& part, const torch::Tensor& x) {
  auto holder = c10::make_intrusive<PartHolder>();
  holder->part = part;
  // The part's own parameters need gradients though x may not.
  const torch::Tensor link = torch::zeros({1}).requires_grad_();
  return Recomputed::apply(x, link, holder);
}

}  // namespace terse::train
