// Weights as functions of parameters: gradients, folding, zeros that stay.
#include "terse/train/parametrisation.h"

#include <gtest/gtest.h>

#include <optional>

#include "support/random_values.h"
#include "terse/methods/method.h"
#include "terse/methods/quantize/nearest.h"
#include "terse/model/activation_grid.h"
#include "terse/model/weights/storage.h"
#include "terse/train/parametrisations/dense.h"
#include "terse/train/parametrisations/fake_quantized.h"
#include "terse/train/parametrisations/lora.h"
#include "terse/train/parametrisations/low_rank.h"
#include "terse/train/parametrisations/shared.h"
#include "terse/train/parametrisations/ternary.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

constexpr std::int64_t kRows = 12;
constexpr std::int64_t kColumns = 16;
constexpr ActivationScheme kDynamic{8, false, ActivationStrategy::token};
constexpr ActivationScheme kStatic{8, false, ActivationStrategy::tensor};
constexpr ActivationGrid kInputGrid{0.006F, 5.0F};

Matrix half_zeros() {
  Matrix values = test::uniform_values(kRows, kColumns, 1);
  for (std::int64_t i = 0; i < values.size(); ++i) {
    if (i % 3 != 0) values.data()[i] = 0.0F;
  }
  return values;
}

std::shared_ptr<Weight> integers() {
  const MethodOptions options(MethodRegistry::instance().find("rtn"),
                              {{"bits", "4"}, {"group_size", "8"}});
  const auto method = make_linear_method("rtn", options, {DType::f32});
  LinearResult result = method->compress({"m", test::uniform_values(kRows, kColumns, 2)});
  return plain_weight(std::move(std::get<QuantizedMatrix>(result)));
}

std::unique_ptr<Parametrisation> lora(const std::shared_ptr<Weight>& base, LoraSettings settings,
                                      bool keep_zeros, bool merge = false) {
  settings.r = 3;
  LoraFactors factors = fresh_factors(kRows, kColumns, settings.r, 5);
  factors.b = test::uniform_values(kRows, settings.r, 6);
  return lora_parametrisation(base, settings, factors, keep_zeros, merge, torch::kCPU);
}

struct Kind {
  std::string name;
  std::function<std::unique_ptr<Parametrisation>()> make;
  std::optional<ActivationScheme> inputs = {};  // how apply() rounds them
};

std::vector<Kind> smooth_kinds() {
  const auto dense = [] {
    return std::shared_ptr<Weight>(
        plain_weight(test::uniform_values(kRows, kColumns, 1), DType::f32));
  };
  const auto pruned = [] {
    return std::shared_ptr<Weight>(plain_weight(half_zeros(), DType::f32));
  };
  return {
      {"dense",
       [] { return dense_parametrisation(test::uniform_values(kRows, kColumns, 1), torch::kCPU); }},
      {"masked", [] { return masked_parametrisation(half_zeros(), torch::kCPU); }},
      {"low_rank",
       [] {
         return low_rank_parametrisation(
             dense_parametrisation(test::uniform_values(3, kColumns, 1), torch::kCPU),
             dense_parametrisation(test::uniform_values(kRows, 3, 2), torch::kCPU));
       }},
      {"shared",
       [] {
         return shared_parametrisation(
             "m", dense_parametrisation(test::uniform_values(kRows, kColumns, 1), torch::kCPU),
             low_rank_parametrisation(
                 dense_parametrisation(test::uniform_values(3, kColumns, 2), torch::kCPU),
                 dense_parametrisation(test::uniform_values(kRows, 3, 3), torch::kCPU)));
       }},
      {"lora", [=] { return lora(dense(), {}, false); }},
      {"rslora", [=] { return lora(dense(), {.use_rslora = true}, false); }},
      {"lora_on_pruned", [=] { return lora(pruned(), {}, true); }},
      {"lora_on_integers", [] { return lora(integers(), {}, false); }},
      {"lora_merged_into_integers", [] { return lora(integers(), {}, false, true); }},
  };
}

QuantizedMatrix with_static_inputs() {
  const QuantizationScheme scheme{.bits = 8,
                                  .symmetric = true,
                                  .strategy = QuantizationStrategy::channel,
                                  .activations = kStatic};
  const Matrix values = test::uniform_values(kRows, kColumns, 2);
  QuantizedMatrix integers = round_to_nearest(scheme, {8, true}, values);
  integers.input_scale = kInputGrid.scale;
  integers.input_zero = kInputGrid.zero;
  return integers;
}

// Of what is rounded, gradients are tested elsewhere: they go straight through.
std::vector<Kind> kinds() {
  const auto fake = [](QuantizationScheme scheme, bool pruned = false) {
    return [=] {
      const Matrix values = pruned ? half_zeros() : test::uniform_values(kRows, kColumns, 1);
      return fake_quantized_parametrisation(values, scheme, Clip::minmax, pruned, torch::kCPU);
    };
  };
  const auto ternary = [](QuantizationScheme scheme, bool pruned = false) {
    scheme.bits = 2;
    scheme.symmetric = true;
    return [=] {
      const Matrix values = pruned ? half_zeros() : test::uniform_values(kRows, kColumns, 1);
      return ternary_parametrisation(values, scheme, pruned, torch::kCPU);
    };
  };
  constexpr auto kTensor = QuantizationStrategy::tensor;
  constexpr auto kChannel = QuantizationStrategy::channel;
  std::vector<Kind> all = smooth_kinds();
  all.push_back({"fake_quantized", fake({.bits = 3, .group_size = 8})});
  all.push_back({"fake_quantized_of_pruned", fake({.bits = 3, .group_size = 8}, true)});
  all.push_back({"fake_quantized_bfloat16_scales",
                 fake({.symmetric = true, .strategy = kTensor, .scale_dtype = DType::bf16})});
  all.push_back({"fake_quantized_dynamic_inputs",
                 fake({.bits = 8, .strategy = kChannel, .activations = kDynamic}), kDynamic});
  all.push_back(
      {"fake_quantized_static_inputs",
       [] { return fake_quantized_parametrisation(with_static_inputs(), false, torch::kCPU); },
       kStatic});
  all.push_back({"low_rank_of_integers", [] {
                   const QuantizationScheme scheme{.bits = 4, .group_size = 4};
                   return low_rank_parametrisation(
                       fake_quantized_parametrisation(test::uniform_values(8, kColumns, 1), scheme,
                                                      Clip::minmax, false, torch::kCPU),
                       fake_quantized_parametrisation(test::uniform_values(kRows, 8, 2), scheme,
                                                      Clip::minmax, false, torch::kCPU));
                 }});
  all.push_back({"ternary", ternary({.strategy = kTensor})});
  all.push_back({"ternary_of_pruned", ternary({.group_size = 8}, true)});
  all.push_back({"ternary_dynamic_inputs", ternary({.strategy = kTensor, .activations = kDynamic}),
                 kDynamic});
  return all;
}

class Parametrisations : public testing::TestWithParam<Kind> {};
class SmoothParametrisations : public Parametrisations {};

// In float32, so the differences are wide and the tolerance is that of the arithmetic.
TEST_P(SmoothParametrisations, HaveTheRightGradients) {
  const auto tested = GetParam().make();
  const torch::Tensor x = to_torch(test::uniform_values(5, kColumns, 7), torch::kCPU);
  const torch::Tensor coefficients = to_torch(test::uniform_values(5, kRows, 8), torch::kCPU);
  const auto value = [&] { return (tested->apply(x, {}) * coefficients).to(torch::kDouble).sum(); };
  std::vector<torch::Tensor> inputs;
  for (const Parameter& parameter : tested->parameters()) inputs.push_back(parameter.value);
  ASSERT_FALSE(inputs.empty());
  const auto grads = torch::autograd::grad({value()}, inputs);
  const torch::NoGradGuard no_grad;
  constexpr double kStep = 1e-2;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    float* values = inputs[i].data_ptr<float>();
    const torch::Tensor grad = grads[i].contiguous();
    for (std::int64_t element = 0; element < inputs[i].numel(); ++element) {
      const float before = values[element];
      values[element] = before + static_cast<float>(kStep);
      const double above = value().item<double>();
      values[element] = before - static_cast<float>(kStep);
      const double below = value().item<double>();
      values[element] = before;
      EXPECT_NEAR(grad.data_ptr<float>()[element], (above - below) / (2 * kStep), 2e-3);
    }
  }
}

TEST_P(Parametrisations, ApplyTheirWeight) {
  const auto tested = GetParam().make();
  const Matrix inputs = test::uniform_values(5, kColumns, 7);
  const auto& scheme = GetParam().inputs;
  const Matrix seen = scheme ? round_activations(*scheme, kInputGrid, inputs) : inputs;
  const torch::Tensor x = to_torch(inputs, torch::kCPU);
  const torch::Tensor bias = to_torch(test::uniform_values(1, kRows, 9), torch::kCPU).view({-1});
  const torch::Tensor expected = torch::linear(to_torch(seen, torch::kCPU), tested->weight(), bias);
  EXPECT_LT((tested->apply(x, bias) - expected).abs().max().item<float>(), 1e-5F);
}

TEST_P(Parametrisations, FoldIntoTheWeightThatTheyAre) {
  const auto tested = GetParam().make();
  const auto folded = tested->fold(DType::f32, false);
  EXPECT_LT((folded->dense() - to_matrix(tested->weight())).cwiseAbs().maxCoeff(), 1e-6F);
  folded->prepare();
  const Matrix x = test::uniform_values(5, kColumns, 7);
  Matrix y(5, kRows);
  folded->multiply(x, y);
  EXPECT_LT((to_matrix(tested->apply(to_torch(x, torch::kCPU), {})) - y).cwiseAbs().maxCoeff(),
            1e-4F * y.cwiseAbs().maxCoeff());
}

const auto name_of = [](const auto& tested) { return tested.param.name; };
INSTANTIATE_TEST_SUITE_P(, SmoothParametrisations, testing::ValuesIn(smooth_kinds()), name_of);
INSTANTIATE_TEST_SUITE_P(, Parametrisations, testing::ValuesIn(kinds()), name_of);

TEST(Lora, BeginsAsItsBase) {
  const auto base =
      std::shared_ptr<Weight>(plain_weight(test::uniform_values(kRows, kColumns, 1), DType::f32));
  for (const bool dora : {false, true}) {
    const auto tested =
        lora_parametrisation(base, {.r = 4, .use_dora = dora}, fresh_factors(kRows, kColumns, 4, 1),
                             false, false, torch::kCPU);
    EXPECT_LT((to_matrix(tested->weight()) - base->dense()).cwiseAbs().maxCoeff(), 1e-6F);
    EXPECT_EQ(tested->parameters().size(), dora ? 3U : 2U);
  }
}

TEST(Lora, KeepsZeros) {
  const auto base = std::shared_ptr<Weight>(plain_weight(half_zeros(), DType::f32));
  const Matrix folded = lora(base, {}, true)->fold(DType::f32, false)->dense();
  EXPECT_EQ((folded.array() == 0.0F).count(), (half_zeros().array() == 0.0F).count());
  EXPECT_GT((folded - half_zeros()).cwiseAbs().maxCoeff(), 0.1F);
  const Matrix dense = lora(base, {}, false)->fold(DType::f32, false)->dense();
  EXPECT_EQ((dense.array() == 0.0F).count(), 0);
}

// The scale of rank stabilisation is alpha / sqrt(r).
TEST(Lora, ScalesByAlpha) {
  EXPECT_DOUBLE_EQ((LoraSettings{.r = 16, .lora_alpha = 32}).scale(), 2.0);
  EXPECT_DOUBLE_EQ((LoraSettings{.r = 16, .lora_alpha = 32, .use_rslora = true}).scale(), 8.0);
}

// Norms of rows count as constants, so the gradients of DoRA are not those of its value: the
// lengths' are.
TEST(Dora, LengthsHaveTheRightGradients) {
  const auto base =
      std::shared_ptr<Weight>(plain_weight(test::uniform_values(kRows, kColumns, 1), DType::f32));
  const auto tested = lora(base, {.use_dora = true}, false);
  const torch::Tensor lengths = tested->parameters()[2].value;
  const torch::Tensor coefficients =
      to_torch(test::uniform_values(kRows, kColumns, 8), torch::kCPU);
  const torch::Tensor grad =
      torch::autograd::grad({(tested->weight() * coefficients).sum()}, {lengths})[0];
  const torch::Tensor expected =
      (coefficients * tested->weight() / tested->weight().norm(2, 1, true)).sum(1, true);
  EXPECT_LT((grad - expected).abs().max().item<float>(), 1e-5F);
}

}  // namespace
}  // namespace terse::train
