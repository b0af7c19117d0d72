#include "terse/train/parametrisations/dense.h"

#include <utility>

#include "terse/model/weights/storage.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

class Dense : public Parametrisation {
 public:
  Dense(const Matrix& weight, const torch::Device& device) : weight_(trained(weight, device)) {}

  torch::Tensor weight() const override { return weight_; }
  std::vector<Parameter> parameters() const override { return {{"weight", weight_}}; }
  std::shared_ptr<Weight> fold(DType dtype, bool transposed) const override {
    return plain_weight(to_matrix(weight()), dtype, transposed);
  }

 private:
  torch::Tensor weight_;
};

class Masked : public Parametrisation {
 public:
  Masked(const Matrix& weight, const torch::Device& device)
      : weight_(trained(weight, device)), mask_((weight_.detach() != 0).to(torch::kFloat)) {}

  torch::Tensor weight() const override { return weight_ * mask_; }
  std::vector<Parameter> parameters() const override { return {{"weight", weight_}}; }
  std::shared_ptr<Weight> fold(DType dtype, bool transposed) const override {
    return smallest_weight(to_matrix(weight()), dtype, transposed);
  }

 private:
  torch::Tensor weight_;
  torch::Tensor mask_;
};

class Fixed : public Parametrisation {
 public:
  Fixed(std::shared_ptr<Weight> weight, const torch::Device& device)
      : stored_(std::move(weight)), weight_(constant(stored_->dense(), device)) {}

  torch::Tensor weight() const override { return weight_; }
  std::vector<Parameter> parameters() const override { return {}; }
  std::shared_ptr<Weight> fold(DType /*dtype*/, bool /*transposed*/) const override {
    return stored_;
  }

 private:
  std::shared_ptr<Weight> stored_;
  torch::Tensor weight_;
};

}  // namespace

std::unique_ptr<Parametrisation> dense_parametrisation(const Matrix& weight,
                                                       const torch::Device& device) {
  return std::make_unique<Dense>(weight, device);
}

std::unique_ptr<Parametrisation> masked_parametrisation(const Matrix& weight,
                                                        const torch::Device& device) {
  return std::make_unique<Masked>(weight, device);
}

std::unique_ptr<Parametrisation> fixed_parametrisation(std::shared_ptr<Weight> weight,
                                                       const torch::Device& device) {
  return std::make_unique<Fixed>(std::move(weight), device);
}

}  // namespace terse::train
