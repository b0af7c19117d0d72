#include "terse/train/importance/scored_weight.h"

#include <utility>

#include "terse/model/weights/storage.h"
#include "terse/train/functions/matrix_product.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// Holds the sums for the backward pass: a context keeps custom classes only.
struct SumsHolder : torch::CustomClassHolder {
  std::shared_ptr<ScoreSums> sums;
};

struct ScoredLinear : torch::autograd::Function<ScoredLinear> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x,
                               const torch::Tensor& /*link*/,
                               const c10::intrusive_ptr<SumsHolder>& holder) {
    const torch::Tensor inputs = x.contiguous();
    context->save_for_backward({inputs});
    context->saved_data["sums"] = torch::IValue::make_capsule(holder);
    context->saved_data["wanted"] = x.requires_grad();
    return product({inputs}, {holder->sums->weight(), true});
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& grads) {
    const auto holder =
        c10::static_intrusive_pointer_cast<SumsHolder>(context->saved_data["sums"].toCapsule());
    const torch::Tensor grad = grads[0].contiguous();
    holder->sums->add(grad, context->get_saved_variables()[0]);
    if (!context->saved_data["wanted"].toBool()) return {{}, {}, {}};
    return {product({grad}, {holder->sums->weight()}), {}, {}};
  }
};

class ScoredWeight : public Parametrisation {
 public:
  explicit ScoredWeight(std::shared_ptr<ScoreSums> sums)
      : holder_(c10::make_intrusive<SumsHolder>()),
        link_(torch::zeros({1}, sums->weight().options()).requires_grad_()) {
    holder_->sums = std::move(sums);
  }

  torch::Tensor weight() const override { return holder_->sums->weight(); }
  torch::Tensor apply(const torch::Tensor& x, const torch::Tensor& bias) const override {
    // The link has gradients pass through here where neither x nor the weight asks for any.
    const torch::Tensor y = ScoredLinear::apply(x, link_, holder_);
    return bias.defined() ? y + bias : y;
  }
  std::vector<Parameter> parameters() const override { return {}; }
  std::shared_ptr<Weight> fold(DType dtype, bool transposed) const override {
    return plain_weight(to_matrix(weight()), dtype, transposed);
  }

 private:
  c10::intrusive_ptr<SumsHolder> holder_;
  torch::Tensor link_;
};

}  // namespace

std::unique_ptr<Parametrisation> scored_weight(std::shared_ptr<ScoreSums> sums) {
  return std::make_unique<ScoredWeight>(std::move(sums));
}

}  // namespace terse::train
