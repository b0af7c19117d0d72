// Weights seen through grids in training. A straight-through gradient is not the derivative of its
// value, so gradients are held against the paper's formulas, written out element by element, and
// against differences where these apply.
#include "terse/train/parametrisations/fake_quantized.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "support/expect_error.h"
#include "support/grid_schemes.h"
#include "support/random_quantized.h"
#include "support/random_values.h"
#include "terse/methods/quantize/nearest.h"
#include "terse/model/activation_grid.h"
#include "terse/model/weights/group_quantized.h"
#include "terse/train/functions/straight_through.h"
#include "terse/train/parametrisations/ternary.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

constexpr std::int64_t kRows = 6;
constexpr std::int64_t kColumns = 16;

Matrix half_zeros() {
  Matrix values = test::uniform_values(kRows, kColumns, 1);
  for (std::int64_t i = 0; i < values.size(); i += 2) values.data()[i] = 0.0F;
  return values;
}

std::unique_ptr<Parametrisation> from_weight(const Matrix& weight, const QuantizationScheme& scheme,
                                             bool keep_zeros = false) {
  return fake_quantized_parametrisation(weight, scheme, Clip::minmax, keep_zeros, torch::kCPU);
}

torch::Tensor parameter(const Parametrisation& tested, const std::string& name) {
  for (const Parameter& each : tested.parameters()) {
    if (each.name == name) return each.value;
  }
  ADD_FAILURE() << name << " is no parameter";
  return {};
}

void set(const Parametrisation& tested, const std::string& name, const torch::Tensor& values) {
  const torch::NoGradGuard no_grad;
  parameter(tested, name).copy_(values);
}

QuantizedMatrix folded(const Parametrisation& tested) {
  const auto weight = tested.fold(DType::f32, false);
  return dynamic_cast<const GroupQuantizedWeight&>(*weight).quantized();
}

// To a share of the largest, which is not zero.
void expect_near(const torch::Tensor& found, const Matrix& expected, float tolerance) {
  EXPECT_LT((to_matrix(found) - expected).cwiseAbs().maxCoeff(),
            tolerance * expected.cwiseAbs().maxCoeff());
}

// Codes that need not be the nearest to anything, on positive scales; groups of equal size.
QuantizedMatrix random_integers(const QuantizationScheme& scheme, std::uint64_t seed) {
  QuantizedMatrix integers = test::random_matrix(scheme, kRows, kColumns, seed);
  integers.scales = integers.scales.cwiseAbs();
  const auto groups = static_cast<std::int32_t>(scheme.groups(kColumns));
  for (std::size_t c = 0; c < integers.g_idx.size(); ++c) {
    integers.g_idx[c] = static_cast<std::int32_t>(c) % groups;
  }
  return integers;
}

// The gradients of sum C W, by the formulas of LSQ.
struct Gradients {
  Matrix weight;
  Matrix step;
};

Gradients formulas(const QuantizationScheme& scheme, const Matrix& values, const Matrix& steps,
                   const std::vector<std::uint8_t>& zeros, const Matrix& coefficients) {
  const std::int64_t width = values.cols() / scheme.groups(values.cols());
  const bool whole = scheme.strategy == QuantizationStrategy::tensor;
  const double highest = scheme.symmetric ? scheme.middle() - 1 : scheme.levels() - 1;
  const auto count = static_cast<double>(whole ? values.size() : width);
  const double factor = 1 / std::sqrt(count * highest);
  Gradients result{Matrix::Zero(values.rows(), values.cols()),
                   Matrix::Zero(steps.rows(), steps.cols())};
  for (std::int64_t r = 0; r < values.rows(); ++r) {
    for (std::int64_t c = 0; c < values.cols(); ++c) {
      const std::int64_t row = whole ? 0 : r;
      const std::int64_t group = c / width;
      const double step = round_to_dtype(scheme.scale_dtype, steps(row, group));
      const double least = -zeros[static_cast<std::size_t>(row * steps.cols() + group)];
      const double most = least + scheme.levels() - 1;
      const double position = values(r, c) / step;
      const auto share = static_cast<float>(factor * coefficients(r, c));
      if (position < least - 0.5 || position > most + 0.5) {
        const double bound = position < least ? least : most;
        result.step(row, group) += share * static_cast<float>(bound);
      } else {
        const double code = std::clamp(std::nearbyint(position), least, most);
        result.step(row, group) += share * static_cast<float>(code - position);
        result.weight(r, c) = coefficients(r, c);
      }
    }
  }
  return result;
}

TEST(FakeQuantized, GradientsAreThoseOfThePaper) {
  for (const QuantizationScheme& scheme : test::grid_schemes({2, 3, 8}, 3)) {
    const Matrix values = test::uniform_values(kRows, kColumns, 3);
    const auto tested = from_weight(values, scheme);
    // Smaller steps than round-to-nearest has, so that about half of the values are clipped.
    const torch::Tensor step = parameter(*tested, "weight_step");
    set(*tested, "weight_step", step * 0.5);
    const Matrix coefficients = test::uniform_values(kRows, kColumns, 4);
    const auto grads =
        torch::autograd::grad({(tested->weight() * to_torch(coefficients, torch::kCPU)).sum()},
                              {parameter(*tested, "weight"), step});
    const Gradients expected =
        formulas(scheme, values, to_matrix(step), folded(*tested).zeros, coefficients);
    expect_near(grads[0], expected.weight, 1e-7F);
    expect_near(grads[1], expected.step, 1e-4F);
    const auto passed = (expected.weight.array() != 0.0F).count();
    EXPECT_GT(passed, values.size() / 10);
    EXPECT_LT(passed, values.size() * 9 / 10);
  }
}

// Beyond the range the weight is step * bound: linear in the step, and the values do not change it.
TEST(FakeQuantized, GradientsOfClippedValuesAreDifferences) {
  const QuantizationScheme scheme{.bits = 3, .symmetric = false, .group_size = 8};
  const auto tested = from_weight(test::uniform_values(kRows, kColumns, 5), scheme);
  set(*tested, "weight_step", torch::full({kRows, 2}, 0.001F));
  set(*tested, "weight", parameter(*tested, "weight").sign() * 0.5);
  const torch::Tensor coefficients =
      to_torch(test::uniform_values(kRows, kColumns, 6), torch::kCPU);
  const auto value = [&] { return (tested->weight() * coefficients).to(torch::kDouble).sum(); };
  const double factor = std::sqrt(8.0 * 7);  // LSQ's gradient scale is one over it
  for (const auto& [name, change] :
       {std::pair{"weight", 0.1F}, std::pair{"weight_step", 0.0005F}}) {
    const torch::Tensor input = parameter(*tested, name);
    const torch::Tensor grad = torch::autograd::grad({value()}, {input})[0];
    const double scale = std::string(name) == "weight" ? 1.0 : factor;
    const torch::NoGradGuard no_grad;
    float* values = input.data_ptr<float>();
    for (std::int64_t i = 0; i < input.numel(); ++i) {
      const float before = values[i];
      values[i] = before + change;
      const double above = value().item<double>();
      values[i] = before - change;
      const double below = value().item<double>();
      values[i] = before;
      EXPECT_NEAR(scale * grad.data_ptr<float>()[i], (above - below) / (2 * change), 1e-4) << name;
    }
  }
}

TEST(FakeQuantized, BeginsAsRoundToNearest) {
  const Matrix values = test::uniform_values(kRows, kColumns, 7);
  for (const QuantizationScheme& scheme : test::grid_schemes({2, 3, 8}, 3)) {
    for (const Clip clip : {Clip::minmax, Clip::mse}) {
      const QuantizedMatrix expected = round_to_nearest(
          scheme, {scheme.bits, scheme.symmetric, clip, scheme.scale_dtype}, values);
      const auto tested = fake_quantized_parametrisation(values, scheme, clip, false, torch::kCPU);
      test::expect_equal(folded(*tested), expected);
      EXPECT_EQ(to_matrix(tested->weight()), expected.dense());
    }
  }
}

TEST(FakeQuantized, BeginsAtGivenIntegers) {
  for (QuantizationScheme scheme : test::grid_schemes({2, 3, 8}, 3)) {
    const bool grouped = scheme.strategy == QuantizationStrategy::group;
    if (grouped) scheme.actorder = ActivationOrdering::group;
    const QuantizedMatrix integers = random_integers(scheme, 8);
    EXPECT_EQ(integers.g_idx.empty(), !grouped);
    const auto tested = fake_quantized_parametrisation(integers, false, torch::kCPU);
    test::expect_equal(folded(*tested), integers);
    EXPECT_EQ(to_matrix(tested->weight()), integers.dense());
    // In steps, where the values that are trained lie in the reach of their codes.
    const Matrix offset = to_matrix(parameter(*tested, "weight")) - integers.dense();
    double least = 0;
    double most = 0;
    for (std::int64_t r = 0; r < kRows; ++r) {
      for (std::int64_t c = 0; c < kColumns; ++c) {
        const std::int64_t row = integers.scales.rows() == 1 ? 0 : r;
        const double share = offset(r, c) / integers.scales(row, integers.group_of(c));
        least = std::min(least, share);
        most = std::max(most, share);
      }
    }
    EXPECT_LT(std::max(-least, most), 0.4999);
    EXPECT_GT(std::min(-least, most), 0.4);
  }
}

// Wherever training leads, what is stored is what was trained.
TEST(FakeQuantized, FoldsIntoTheSameNumbers) {
  for (QuantizationScheme scheme : test::grid_schemes({2, 3, 8}, 3)) {
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
      scheme.scale_dtype = dtype;
      const auto tested = from_weight(test::uniform_values(kRows, kColumns, 9), scheme);
      torch::manual_seed(1);
      for (const Parameter& each : tested->parameters()) {
        set(*tested, each.name, each.value * (0.5 + torch::rand_like(each.value)));
      }
      const QuantizedMatrix integers = folded(*tested);
      EXPECT_EQ(to_matrix(tested->weight()), integers.dense());
      EXPECT_EQ(integers.scales, integers.scales.unaryExpr(
                                     [&](float scale) { return round_to_dtype(dtype, scale); }));
      EXPECT_LT(*std::ranges::max_element(integers.codes), scheme.levels());
    }
  }
}

TEST(FakeQuantized, KeepsZeros) {
  const Matrix values = half_zeros();
  for (const QuantizationScheme& scheme : test::grid_schemes({2, 3, 8}, 3)) {
    const auto tested = from_weight(values, scheme, true);
    for (int step = 0; step < 3; ++step) {
      const torch::Tensor loss = (tested->weight() - 0.5).square().sum();
      loss.backward();
      for (const Parameter& each : tested->parameters()) {
        set(*tested, each.name, each.value - 0.1 * each.value.grad());
      }
    }
    const Matrix found = tested->fold(DType::f32, false)->dense();
    EXPECT_TRUE(((values.array() != 0.0F) || (found.array() == 0.0F)).all());
    EXPECT_EQ(found, to_matrix(tested->weight()));
  }
}

// The only parameter that moves is the step: from the range of all values, in which a few far ones
// leave two levels to the others, to less error.
TEST(FakeQuantized, LearnsSteps) {
  Matrix values = test::uniform_values(kRows, 64, 10);
  for (std::int64_t r = 0; r < kRows; ++r) values(r, 3 * r) *= 4.0F;
  const auto tested = from_weight(
      values, {.bits = 2, .symmetric = true, .strategy = QuantizationStrategy::channel});
  const torch::Tensor target = to_torch(values, torch::kCPU);
  const torch::Tensor step = parameter(*tested, "weight_step");
  const auto loss = [&] { return (tested->weight() - target).square().sum(); };
  const double before = loss().item<double>();
  for (int i = 0; i < 100; ++i) {
    set(*tested, "weight_step", step - 0.02 * torch::autograd::grad({loss()}, {step})[0]);
  }
  EXPECT_LT(loss().item<double>(), 0.7 * before);
}

TEST(FakeQuantized, StepsStayPositiveAndGradientsFinite) {
  const auto tested = from_weight(half_zeros(), {.bits = 4, .symmetric = false, .group_size = 8});
  set(*tested, "weight_step", torch::full({kRows, 2}, -1.0F));
  tested->weight().sum().backward();
  for (const Parameter& each : tested->parameters()) {
    EXPECT_TRUE(torch::isfinite(each.value.grad()).all().item<bool>()) << each.name;
  }
  EXPECT_GT(folded(*tested).scales.minCoeff(), 0.0F);
}

TEST(FakeQuantized, StepsOfInputsHaveTheGradientsOfThePaper) {
  for (const bool symmetric : {true, false}) {
    QuantizedMatrix integers =
        round_to_nearest({.bits = 8, .symmetric = true, .strategy = QuantizationStrategy::channel},
                         {8, true}, test::uniform_values(kRows, kColumns, 11));
    integers.scheme.activations = ActivationScheme{4, symmetric, ActivationStrategy::tensor};
    integers.input_scale = 0.1F;
    integers.input_zero = symmetric ? 0.0F : 3.0F;
    const auto tested = fake_quantized_parametrisation(integers, false, torch::kCPU);
    const Matrix x = test::uniform_values(5, kColumns, 12);
    const torch::Tensor seen = to_torch(x, torch::kCPU).requires_grad_();
    const torch::Tensor coefficients = to_torch(test::uniform_values(5, kRows, 13), torch::kCPU);
    const torch::Tensor value = (tested->apply(seen, {}) * coefficients).sum();
    const auto grads = torch::autograd::grad({value}, {seen, parameter(*tested, "input_step")});
    // Of the rounded inputs.
    const Matrix given = to_matrix(coefficients) * integers.dense();
    double expected = 0;
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const double position = x.data()[i] / 0.1 + integers.input_zero;
      const double code = std::clamp(std::nearbyint(position), -8.0, 7.0);
      const bool inside = position >= -8.5 && position <= 7.5;
      expected += given.data()[i] *
                  (inside ? code - position : code - static_cast<double>(integers.input_zero));
      EXPECT_NEAR(grads[0].data_ptr<float>()[i], inside ? given.data()[i] : 0.0F, 1e-5);
    }
    const double factor = 1 / std::sqrt(kColumns * (symmetric ? 7.0 : 15.0));
    EXPECT_NEAR(grads[1].item<double>(), factor * expected, 1e-4);
    EXPECT_LT(grads[0].count_nonzero().item<std::int64_t>(), x.size());
  }
}

TEST(FakeQuantized, NamesWhatItTrains) {
  const auto names = [](const Parametrisation& tested) {
    std::vector<std::string> all;
    for (const Parameter& each : tested.parameters()) all.push_back(each.name);
    return all;
  };
  const Matrix values = test::uniform_values(kRows, kColumns, 14);
  using Names = std::vector<std::string>;
  const auto tested = from_weight(values, {.group_size = 8});
  EXPECT_EQ(names(*tested), (Names{"weight", "weight_step"}));
  for (const Parameter& each : tested->parameters()) {
    EXPECT_EQ(each.decay, each.name == "weight");
  }
  QuantizedMatrix integers = random_integers({.group_size = 8}, 14);
  integers.scheme.activations = ActivationScheme{8, true, ActivationStrategy::tensor};
  EXPECT_EQ(names(*fake_quantized_parametrisation(integers, false, torch::kCPU)),
            (Names{"weight", "weight_step", "input_step"}));
}

TEST(FakeQuantized, RefusesWhatDoesNotFit) {
  const Matrix values = test::uniform_values(kRows, kColumns, 15);
  test::expect_error(ErrorKind::usage, "group_size 5 does not divide the input width 16",
                     [&] { from_weight(values, {.group_size = 5}); });
  QuantizationScheme scheme{.group_size = 8};
  scheme.activations = ActivationScheme{8, true, ActivationStrategy::tensor};
  test::expect_error(ErrorKind::failed, "calibration", [&] { from_weight(values, scheme); });
  QuantizedMatrix integers =
      random_integers({.group_size = 8, .actorder = ActivationOrdering::group}, 16);
  std::ranges::fill(integers.g_idx, 0);
  test::expect_error(ErrorKind::bad_input, "g_idx: group 1 has not 8 columns",
                     [&] { fake_quantized_parametrisation(integers, false, torch::kCPU); });
  integers.scales(1, 1) = -1.0F;
  test::expect_error(ErrorKind::bad_input, "scale of -1",
                     [&] { fake_quantized_parametrisation(integers, false, torch::kCPU); });
}

TEST(RoundInputs, AreThoseOfTheForwardPass) {
  Matrix x = test::uniform_values(7, 50, 17);
  x.row(2).setZero();
  x.row(3) = x.row(3).cwiseAbs();
  x.row(4) *= 1e4F;
  const torch::Tensor seen = to_torch(x, torch::kCPU).requires_grad_();
  for (const int bits : {2, 4, 8}) {
    for (const bool symmetric : {false, true}) {
      const ActivationScheme scheme{bits, symmetric, ActivationStrategy::token};
      const torch::Tensor found = round_inputs(scheme, seen);
      EXPECT_EQ(to_matrix(found), round_activations(scheme, {}, x));
      const Matrix coefficients = test::uniform_values(7, 50, 18);
      expect_near(
          torch::autograd::grad({(found * to_torch(coefficients, torch::kCPU)).sum()}, {seen})[0],
          coefficients, 1e-7F);
    }
  }
}

// Equations 1 to 3 of BitNet b1.58, with doubles; zeros are left out of the mean where they stay.
Matrix ternary_by_hand(const Matrix& values, std::int64_t rows, std::int64_t columns,
                       bool keep_zeros) {
  Matrix result(values.rows(), values.cols());
  for (std::int64_t r = 0; r < values.rows(); r += rows) {
    for (std::int64_t c = 0; c < values.cols(); c += columns) {
      const auto shared = values.block(r, c, rows, columns).cast<double>();
      const auto zeros = (shared.array() == 0.0).count();
      const double scale =
          shared.cwiseAbs().sum() / static_cast<double>(shared.size() - (keep_zeros ? zeros : 0));
      result.block(r, c, rows, columns) =
          (scale * (shared / scale).array().round().min(1.0).max(-1.0)).matrix().cast<float>();
    }
  }
  return result;
}

TEST(Ternary, IsTheMeanMagnitudeTimesMinusOneToOne) {
  for (const bool keep_zeros : {false, true}) {
    const Matrix values = half_zeros();
    const auto expect = [&](QuantizationScheme scheme, std::int64_t rows, std::int64_t columns) {
      scheme.bits = 2;
      scheme.symmetric = true;
      scheme.group_size = 8;
      const auto tested = ternary_parametrisation(values, scheme, keep_zeros, torch::kCPU);
      expect_near(tested->weight(), ternary_by_hand(values, rows, columns, keep_zeros), 1e-6F);
      const QuantizedMatrix integers = folded(*tested);
      EXPECT_EQ(integers.dense(), to_matrix(tested->weight()));
      const auto [least, most] = std::ranges::minmax(integers.codes);
      EXPECT_EQ(least, 1);
      EXPECT_EQ(most, 3);
    };
    expect({.strategy = QuantizationStrategy::tensor}, kRows, kColumns);
    expect({.strategy = QuantizationStrategy::channel}, 1, kColumns);
    expect({.strategy = QuantizationStrategy::group}, 1, 8);
  }
}

TEST(Ternary, PassesGradientsStraightThrough) {
  const QuantizationScheme scheme{
      .bits = 2, .symmetric = true, .strategy = QuantizationStrategy::tensor};
  const Matrix coefficients = test::uniform_values(kRows, kColumns, 19);
  for (const bool keep_zeros : {false, true}) {
    const auto tested = ternary_parametrisation(half_zeros(), scheme, keep_zeros, torch::kCPU);
    const torch::Tensor grad =
        torch::autograd::grad({(tested->weight() * to_torch(coefficients, torch::kCPU)).sum()},
                              {parameter(*tested, "weight")})[0];
    Matrix expected = coefficients;
    if (keep_zeros) expected = (half_zeros().array() == 0.0F).select(0.0F, coefficients);
    EXPECT_EQ(to_matrix(grad), expected);
  }
}

TEST(Ternary, TakesNoOtherGrids) {
  const Matrix values = test::uniform_values(kRows, kColumns, 20);
  QuantizationScheme scheme{.bits = 4, .symmetric = true, .group_size = 8};
  const auto make = [&] { ternary_parametrisation(values, scheme, false, torch::kCPU); };
  test::expect_error(ErrorKind::failed, "found 4 bits", make);
  scheme.bits = 2;
  scheme.activations = ActivationScheme{8, true, ActivationStrategy::tensor};
  test::expect_error(ErrorKind::failed, "static", make);
  scheme.group_size = 5;
  test::expect_error(ErrorKind::usage, "group_size", make);
}

}  // namespace
}  // namespace terse::train
