#include "terse/train/parametrisations/low_rank.h"

#include <string>
#include <utility>

#include "terse/model/weights/low_rank.h"

namespace terse::train {
namespace {

class Product : public Parametrisation {
 public:
  Product(std::unique_ptr<Parametrisation> a, std::unique_ptr<Parametrisation> b)
      : a_(std::move(a)), b_(std::move(b)) {}

  torch::Tensor weight() const override {
    return apply_linear(b_->weight(), a_->weight().t().contiguous(), {});
  }

  torch::Tensor apply(const torch::Tensor& x, const torch::Tensor& bias) const override {
    return b_->apply(a_->apply(x, {}), bias);
  }

  std::vector<Parameter> parameters() const override {
    std::vector<Parameter> all;
    const auto add = [&](const char* name, const Parametrisation& factor) {
      for (Parameter parameter : factor.parameters()) {
        parameter.name = std::string(name) + "." + parameter.name;
        all.push_back(std::move(parameter));
      }
    };
    add(LowRank::kA, *a_);
    add(LowRank::kB, *b_);
    return all;
  }

  std::shared_ptr<Weight> fold(DType dtype, bool /*transposed*/) const override {
    return std::make_shared<LowRank>(a_->fold(dtype, false), b_->fold(dtype, false));
  }

 private:
  std::unique_ptr<Parametrisation> a_;
  std::unique_ptr<Parametrisation> b_;
};

}  // namespace

std::unique_ptr<Parametrisation> low_rank_parametrisation(std::unique_ptr<Parametrisation> a,
                                                          std::unique_ptr<Parametrisation> b) {
  return std::make_unique<Product>(std::move(a), std::move(b));
}

}  // namespace terse::train
