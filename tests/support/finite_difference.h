// Gradients held against differences of values.
#pragma once

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <functional>
#include <vector>

namespace terse::test {

// Checks the gradients of `value`, a scalar function of `inputs` (float64, leaves that require
// gradients), element by element against central differences.
inline void expect_gradients(const std::function<torch::Tensor()>& value,
                             const std::vector<torch::Tensor>& inputs, double tolerance = 1e-6) {
  constexpr double kStep = 1e-5;
  const auto grads = torch::autograd::grad({value()}, inputs);
  const torch::NoGradGuard no_grad;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const torch::Tensor flat = inputs[i].detach().view({-1});
    const torch::Tensor grad = grads[i].reshape({-1});
    for (std::int64_t element = 0; element < flat.numel(); ++element) {
      const double before = flat[element].item<double>();
      flat[element] = before + kStep;
      const double above = value().item<double>();
      flat[element] = before - kStep;
      const double below = value().item<double>();
      flat[element] = before;
      EXPECT_NEAR(grad[element].item<double>(), (above - below) / (2 * kStep), tolerance)
          << "input " << i << ", element " << element;
    }
  }
}

// Random numbers that require gradients.
inline torch::Tensor random_leaf(torch::IntArrayRef shape, std::uint64_t seed,
                                 torch::ScalarType type = torch::kDouble) {
  torch::manual_seed(seed);
  return torch::randn(shape, type).requires_grad_();
}

}  // namespace terse::test
