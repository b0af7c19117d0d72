#include "terse/train/parametrisations/lora.h"

#include <cmath>
#include <utility>

#include "terse/core/random.h"
#include "terse/model/weights/low_rank_sum.h"
#include "terse/model/weights/storage.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

// Over these alone a sum is stored.
bool is_dense_integers(const Weight& weight) {
  const Json config = weight.config();
  return config.is_object() && has_key(config, "quantization") && !has_key(config, "layout");
}

class Lora : public Parametrisation {
 public:
  Lora(std::shared_ptr<Weight> base, const LoraSettings& settings, const LoraFactors& factors,
       bool keep_zeros, bool merge, const torch::Device& device)
      : stored_(std::move(base)),
        scale_(settings.scale()),
        merge_(merge || keep_zeros || settings.use_dora || !is_dense_integers(*stored_)),
        base_(constant(stored_->dense(), device)),
        a_(trained(factors.a, device)),
        b_(trained(factors.b, device)) {
    if (keep_zeros) mask_ = (base_ != 0).to(base_.scalar_type());
    if (settings.use_dora) lengths_ = base_.norm(2, 1, true).requires_grad_();
  }

  torch::Tensor weight() const override {
    torch::Tensor change = scale_ * torch::mm(b_, a_);
    if (mask_.defined()) change = change * mask_;
    const torch::Tensor sum = base_ + change;
    if (!lengths_.defined()) return sum;
    // The paper, section 4.3: the norm counts as a constant in the gradients.
    return lengths_ * sum / sum.detach().norm(2, 1, true).clamp_min(1e-30);
  }

  torch::Tensor apply(const torch::Tensor& x, const torch::Tensor& bias) const override {
    if (mask_.defined() || lengths_.defined()) return Parametrisation::apply(x, bias);
    return torch::linear(x, base_, bias) + scale_ * torch::linear(torch::linear(x, a_), b_);
  }

  std::vector<Parameter> parameters() const override {
    std::vector<Parameter> all{{"lora_A.weight", a_}, {"lora_B.weight", b_}};
    if (lengths_.defined()) all.push_back({"lora_magnitude_vector", lengths_, false});
    return all;
  }

  std::shared_ptr<Weight> fold(DType dtype, bool transposed) const override {
    if (merge_) return smallest_weight(to_matrix(weight()), dtype, transposed);
    return std::make_shared<LowRankSum>(stored_, to_matrix(a_), to_matrix(scale_ * b_.detach()),
                                        dtype);
  }

 private:
  std::shared_ptr<Weight> stored_;
  double scale_;
  bool merge_;
  torch::Tensor base_;
  torch::Tensor a_;
  torch::Tensor b_;
  torch::Tensor mask_;     // undefined where zeros may change
  torch::Tensor lengths_;  // [out, 1]; undefined without DoRA
};

}  // namespace

double LoraSettings::scale() const {
  const auto rank = static_cast<double>(r);
  return lora_alpha / (use_rslora ? std::sqrt(rank) : rank);
}

LoraFactors fresh_factors(std::int64_t rows, std::int64_t columns, std::int64_t r,
                          std::uint64_t seed) {
  Random random(seed);
  const double bound = 1.0 / std::sqrt(static_cast<double>(columns));
  const auto uniform = [&](float) {
    return static_cast<float>(bound * (2 * random.uniform() - 1));
  };
  return {Matrix(Matrix::Zero(r, columns).unaryExpr(uniform)), Matrix::Zero(rows, r)};
}

std::unique_ptr<Parametrisation> lora_parametrisation(std::shared_ptr<Weight> base,
                                                      const LoraSettings& settings,
                                                      const LoraFactors& factors, bool keep_zeros,
                                                      bool merge, const torch::Device& device) {
  return std::make_unique<Lora>(std::move(base), settings, factors, keep_zeros, merge, device);
}

}  // namespace terse::train
