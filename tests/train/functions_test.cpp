// Fused functions against libtorch's own operations in float64, which take the unfused way.
#include <gtest/gtest.h>

#include "support/finite_difference.h"
#include "terse/core/threads.h"
#include "terse/train/functions/attention.h"
#include "terse/train/functions/gated_silu.h"
#include "terse/train/functions/layer_norm.h"
#include "terse/train/functions/linear.h"
#include "terse/train/functions/matrix_product.h"
#include "terse/train/functions/rms_norm.h"
#include "terse/train/functions/rotary.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

using test::random_leaf;

// Values and gradients of a function in float32 (fused) and float64 agree. The gradients are those
// of a weighted sum, so that every element of the output counts differently.
void expect_fused(const std::function<torch::Tensor(const std::vector<torch::Tensor>&)>& function,
                  const std::vector<torch::Tensor>& inputs) {
  std::vector<torch::Tensor> floats;
  for (const torch::Tensor& input : inputs) {
    floats.push_back(input.detach().to(torch::kFloat).requires_grad_());
    ASSERT_TRUE(fusible(floats.back()));
  }
  const torch::Tensor expected = function(inputs);
  const torch::Tensor found = function(floats);
  const torch::Tensor weights = random_leaf(expected.sizes(), 99).detach();
  EXPECT_LT((found - expected).abs().max().item<double>(), 2e-6);
  const auto expected_grads = torch::autograd::grad({(expected * weights).sum()}, inputs);
  const auto grads = torch::autograd::grad({(found * weights.to(torch::kFloat)).sum()}, floats);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const double largest = expected_grads[i].abs().max().item<double>();
    EXPECT_LT((grads[i] - expected_grads[i]).abs().max().item<double>(), 3e-6 * (1 + largest))
        << "input " << i;
  }
}

TEST(FusedRmsNorm, AgreesWithLibtorch) {
  for (const std::int64_t size : {1, 7, 16, 64, 257}) {
    expect_fused([](const auto& in) { return rms_norm(in[0], in[1], 1e-5); },
                 {random_leaf({131, size}, 1), random_leaf({size}, 2)});
  }
}

TEST(FusedLayerNorm, AgreesWithLibtorch) {
  for (const std::int64_t size : {2, 7, 16, 64, 257}) {
    expect_fused([](const auto& in) { return layer_norm(in[0], in[1], in[2], 1e-5); },
                 {random_leaf({131, size}, 1), random_leaf({size}, 2), random_leaf({size}, 3)});
  }
}

TEST(FusedLinear, AgreesWithLibtorch) {
  for (const std::int64_t rows : {1, 131}) {
    expect_fused([](const auto& in) { return apply_linear(in[0], in[1], in[2]) / 8; },
                 {random_leaf({rows, 70}, 1), random_leaf({33, 70}, 2), random_leaf({33}, 3)});
    expect_fused([](const auto& in) { return apply_linear(in[0], in[1], {}) / 8; },
                 {random_leaf({rows, 70}, 1), random_leaf({33, 70}, 2)});
  }
}

TEST(FusedGatedSilu, AgreesWithLibtorch) {
  for (const std::int64_t size : {1, 15, 16, 100}) {
    expect_fused([](const auto& in) { return gated_silu(in[0], in[1]); },
                 {random_leaf({70, size}, 1), random_leaf({70, size}, 2)});
  }
}

TEST(FusedRotary, AgreesWithLibtorch) {
  const torch::Tensor angles = torch::arange(9 * 4).view({9, 4}).to(torch::kDouble) / 7;
  expect_fused(
      [&](const auto& in) {
        const auto type = in[0].scalar_type();
        return rotate_heads(in[0], angles.cos().to(type), angles.sin().to(type), 10);
      },
      {random_leaf({18, 30}, 1)});
}

TEST(FusedAttention, AgreesWithLibtorch) {
  for (const std::int64_t length : {1, 5, 64, 65, 150}) {
    for (const std::int64_t window : {0, 1, 40}) {
      const AttentionShape shape{length, 4, 2, 8, 0.3, window};
      expect_fused([&](const auto& in) { return causal_attention(in[0], in[1], in[2], shape); },
                   {random_leaf({2 * length, 32}, 1), random_leaf({2 * length, 16}, 2),
                    random_leaf({2 * length, 16}, 3)});
    }
  }
}

// Shapes that tiles do and do not divide, every order of the factors, added and not: as in double
// precision, and the same bytes on any number of threads.
TEST(MatrixProduct, IsThatOfLibtorchOnAnyNumberOfThreads) {
  const int before = thread_count();
  for (const std::int64_t rows : {1, 128, 300}) {
    for (const auto& [left, right] :
         {std::pair{false, false}, {true, false}, {false, true}, {true, true}}) {
      const torch::Tensor a = random_leaf({rows, 70}, 1).detach();
      const torch::Tensor b = random_leaf({70, 257}, 2).detach();
      const torch::Tensor start = random_leaf({rows, 257}, 3).detach();
      const torch::Tensor stored_a = (left ? a.t() : a).to(torch::kFloat).contiguous();
      const torch::Tensor stored_b = (right ? b.t() : b).to(torch::kFloat).contiguous();
      torch::Tensor first;
      for (const int threads : {1, 2, 3, 5}) {
        set_thread_count(threads);
        const torch::Tensor sum = start.to(torch::kFloat);
        multiply_into(sum, {stored_a, left}, {stored_b, right}, true);
        const torch::Tensor alone = product({stored_a, left}, {stored_b, right});
        EXPECT_LT((sum - (start + a.mm(b))).abs().max().item<double>(), 1e-4);
        EXPECT_LT((alone - a.mm(b)).abs().max().item<double>(), 1e-4);
        if (!first.defined()) first = sum;
        EXPECT_TRUE(torch::equal(sum, first)) << threads;
      }
    }
  }
  set_thread_count(before);
}

TEST(MatrixProduct, LeavesOtherTypesToLibtorch) {
  const torch::Tensor a = random_leaf({5, 7}, 1).detach();
  const torch::Tensor b = random_leaf({9, 7}, 2).detach();
  EXPECT_LT((product({a}, {b, true}) - a.mm(b.t())).abs().max().item<double>(), 1e-12);
}

// The unfused ways, which the fused ones are held against, by finite differences.
TEST(UnfusedFunctions, HaveTheRightGradients) {
  const torch::Tensor x = random_leaf({6, 8}, 1);
  const torch::Tensor y = random_leaf({6, 8}, 2);
  const torch::Tensor z = random_leaf({6, 8}, 3);
  const torch::Tensor weight = random_leaf({8}, 4);
  const torch::Tensor coefficients = random_leaf({6, 8}, 5).detach();
  test::expect_gradients([&] { return (rms_norm(x, weight, 1e-5) * coefficients).sum(); },
                         {x, weight});
  test::expect_gradients([&] { return (gated_silu(x, y) * coefficients).sum(); }, {x, y});
  const AttentionShape shape{3, 2, 2, 4, 0.5, 2};
  test::expect_gradients([&] { return (causal_attention(x, y, z, shape) * coefficients).sum(); },
                         {x, y, z});
}

}  // namespace
}  // namespace terse::train
