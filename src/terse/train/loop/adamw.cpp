#include "terse/train/loop/adamw.h"

#include <cmath>
#include <utility>

#include "terse/core/error.h"
#include "terse/core/threads.h"
#include "terse/kernels/training_math.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

constexpr std::int64_t kTile = 1 << 14;

double squared_norm(const torch::Tensor& tensor) {
  if (!fusible(tensor)) return tensor.to(torch::kDouble).square().sum().item<double>();
  const float* values = tensor.data_ptr<float>();
  return parallel_sum(tensor.numel(), kTile, [&](std::int64_t first, std::int64_t count) {
    double sum = 0;
    for (std::int64_t i = first; i < first + count; ++i) {
      sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
    }
    return sum;
  });
}

void fused_step(const kernels::AdamWStep& step, const torch::Tensor& grad, torch::Tensor& weight,
                torch::Tensor& first, torch::Tensor& second) {
  const float* g = grad.data_ptr<float>();
  float* w = weight.data_ptr<float>();
  float* m = first.data_ptr<float>();
  float* v = second.data_ptr<float>();
  parallel_tiles(weight.numel(), kTile, [&](std::int64_t at, std::int64_t count) {
    kernels::adamw_step(step, g + at, w + at, m + at, v + at, count);
  });
}

void unfused_step(const kernels::AdamWStep& step, const torch::Tensor& grad, torch::Tensor& weight,
                  torch::Tensor& first, torch::Tensor& second) {
  const torch::Tensor g = grad * step.grad_scale;
  first.mul_(step.beta1).add_(g, 1 - step.beta1);
  second.mul_(step.beta2).addcmul_(g, g, 1 - step.beta2);
  weight.mul_(step.decay)
      .sub_(step.learning_rate * (first * step.correction1) /
            ((second * step.correction2).sqrt() + step.epsilon));
}

}  // namespace

AdamW::AdamW(std::vector<Parameter> parameters, const TrainingSettings& settings)
    : parameters_(std::move(parameters)), settings_(settings) {
  for (const Parameter& parameter : parameters_) {
    first_.push_back(torch::zeros_like(parameter.value).detach());
    second_.push_back(torch::zeros_like(parameter.value).detach());
  }
}

void AdamW::zero_gradients() {
  for (Parameter& parameter : parameters_) parameter.value.mutable_grad() = torch::Tensor();
}

double AdamW::gradient_norm() const {
  double sum = 0;
  for (const Parameter& parameter : parameters_) {
    if (!parameter.value.grad().defined()) continue;
    const double squared = squared_norm(parameter.value.grad().contiguous());
    if (!std::isfinite(squared)) {
      throw failure("the gradient of {} is not finite", parameter.name);
    }
    sum += squared;
  }
  return std::sqrt(sum);
}

void AdamW::step(double learning_rate, double gradient_norm) {
  const torch::NoGradGuard no_grad;
  ++steps_;
  const auto t = static_cast<double>(steps_);
  const double limit = settings_.max_grad_norm;
  const double scale = limit > 0 && gradient_norm > limit ? limit / gradient_norm : 1.0;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    Parameter& parameter = parameters_[i];
    if (!parameter.value.grad().defined()) continue;
    const double rate = learning_rate * parameter.learning_rate;
    const double decay = parameter.decay ? rate * settings_.weight_decay : 0.0;
    const kernels::AdamWStep step{
        .learning_rate = static_cast<float>(rate),
        .decay = static_cast<float>(1 - decay),
        .beta1 = static_cast<float>(settings_.adam_beta1),
        .beta2 = static_cast<float>(settings_.adam_beta2),
        .epsilon = static_cast<float>(settings_.adam_epsilon),
        .correction1 = static_cast<float>(1 / (1 - std::pow(settings_.adam_beta1, t))),
        .correction2 = static_cast<float>(1 / (1 - std::pow(settings_.adam_beta2, t))),
        .grad_scale = static_cast<float>(scale)};
    torch::Tensor weight = parameter.value.detach();
    const torch::Tensor grad = parameter.value.grad().contiguous();
    fusible(weight) ? fused_step(step, grad, weight, first_[i], second_[i])
                    : unfused_step(step, grad, weight, first_[i], second_[i]);
  }
}

std::vector<std::pair<std::string, torch::Tensor>> AdamW::state() const {
  std::vector<std::pair<std::string, torch::Tensor>> tensors;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const std::string& name = parameters_[i].name;
    tensors.emplace_back("weight/" + name, parameters_[i].value.detach());
    tensors.emplace_back("m/" + name, first_[i]);
    tensors.emplace_back("v/" + name, second_[i]);
  }
  return tensors;
}

}  // namespace terse::train
