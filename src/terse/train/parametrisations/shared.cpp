#include "terse/train/parametrisations/shared.h"

#include <utility>

#include "terse/model/weights/shared.h"

namespace terse::train {
namespace {

class SharedWithOthers : public Parametrisation {
 public:
  SharedWithOthers(std::string module, std::shared_ptr<Parametrisation> base,
                   std::unique_ptr<Parametrisation> difference)
      : module_(std::move(module)), base_(std::move(base)), difference_(std::move(difference)) {}

  torch::Tensor weight() const override {
    return difference_ == nullptr ? base_->weight() : base_->weight() + difference_->weight();
  }

  torch::Tensor apply(const torch::Tensor& x, const torch::Tensor& bias) const override {
    const torch::Tensor common = base_->apply(x, bias);
    return difference_ == nullptr ? common : common + difference_->apply(x, {});
  }

  std::vector<Parameter> parameters() const override {
    return difference_ == nullptr ? std::vector<Parameter>() : difference_->parameters();
  }

  std::shared_ptr<Weight> fold(DType dtype, bool transposed) const override {
    return std::make_shared<Shared>(
        module_, base_->fold(dtype, transposed),
        difference_ == nullptr ? nullptr : difference_->fold(dtype, false));
  }

 private:
  std::string module_;
  std::shared_ptr<Parametrisation> base_;
  std::unique_ptr<Parametrisation> difference_;
};

}  // namespace

std::unique_ptr<Parametrisation> shared_parametrisation(
    std::string module, std::shared_ptr<Parametrisation> base,
    std::unique_ptr<Parametrisation> difference) {
  return std::make_unique<SharedWithOthers>(std::move(module), std::move(base),
                                            std::move(difference));
}

}  // namespace terse::train
