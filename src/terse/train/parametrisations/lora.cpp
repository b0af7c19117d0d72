#include "terse/train/parametrisations/lora.h"

#include <cmath>
#include <utility>

#include "terse/core/random.h"
#include "terse/model/weights/low_rank_sum.h"
#include "terse/model/weights/storage.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

class Lora : public Parametrisation {
 public:
  Lora(std::shared_ptr<Weight> base, const LoraSettings& settings, const LoraFactors& factors,
       bool keep_zeros, bool merge, const torch::Device& device)
      : stored_(std::move(base)),
        settings_(settings),
        scale_(settings.scale()),
        merge_(merge || keep_zeros || settings.use_dora || !LowRankSum::can_hold(*stored_)),
        base_(constant(stored_->dense(), device)),
        a_(trained(factors.a, device)),
        b_(trained(factors.b, device)) {
    if (keep_zeros) mask_ = (base_ != 0).to(base_.scalar_type());
    if (settings.use_dora) lengths_ = first_lengths(factors.magnitude);
  }

  torch::Tensor weight() const override {
    const torch::Tensor sum = this->sum();
    if (!lengths_.defined()) return sum;
    // The paper, section 4.3: the norm counts as a constant in the gradients.
    return lengths_ * sum / sum.detach().norm(2, 1, true).clamp_min(1e-30);
  }

  torch::Tensor apply(const torch::Tensor& x, const torch::Tensor& bias) const override {
    if (mask_.defined() || lengths_.defined()) return Parametrisation::apply(x, bias);
    return apply_linear(x, base_, bias) + scale_ * apply_linear(apply_linear(x, a_, {}), b_, {});
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

  std::optional<PeftModule> adapter(const std::string& name) const {
    if (mask_.defined()) return std::nullopt;
    const Matrix a = to_matrix(a_);
    const Matrix b = to_matrix(b_);
    PeftModule module{name, settings_.lora_alpha, scale_, Tensor::from_matrix(DType::f32, a),
                      Tensor::from_matrix(DType::f32, b)};
    if (lengths_.defined())
      module.magnitude = Tensor::from_vector(DType::f32, to_matrix(lengths_).reshaped());
    return module;
  }

 private:
  torch::Tensor sum() const {
    const torch::Tensor change = scale_ * apply_linear(b_, a_.t().contiguous(), {});
    return base_ + (mask_.defined() ? change * mask_ : change);
  }

  torch::Tensor first_lengths(const Vector& given) const {
    const torch::Tensor lengths = given.size() > 0 ? to_torch(given, base_.device()).view({-1, 1})
                                                   : sum().detach().norm(2, 1, true);
    return lengths.clone().requires_grad_();
  }

  std::shared_ptr<Weight> stored_;
  LoraSettings settings_;
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
  return lora_scale(lora_alpha, r, use_rslora);
}

LoraFactors fresh_factors(std::int64_t rows, std::int64_t columns, std::int64_t r,
                          std::uint64_t seed) {
  Random random(seed);
  const double bound = 1.0 / std::sqrt(static_cast<double>(columns));
  const auto uniform = [&](float) {
    return static_cast<float>(bound * (2 * random.uniform() - 1));
  };
  return {Matrix(Matrix::Zero(r, columns).unaryExpr(uniform)), Matrix::Zero(rows, r), {}};
}

std::unique_ptr<Parametrisation> lora_parametrisation(std::shared_ptr<Weight> base,
                                                      const LoraSettings& settings,
                                                      const LoraFactors& factors, bool keep_zeros,
                                                      bool merge, const torch::Device& device) {
  return std::make_unique<Lora>(std::move(base), settings, factors, keep_zeros, merge, device);
}

std::optional<PeftModule> trained_adapter(const std::string& name, const Parametrisation& weight) {
  const auto* lora = dynamic_cast<const Lora*>(&weight);
  return lora == nullptr ? std::nullopt : lora->adapter(name);
}

}  // namespace terse::train
