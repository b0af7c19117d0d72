// Rounding of inputs as an option of the methods that quantise.
#include <gtest/gtest.h>

#include "methods/random_problems.h"
#include "support/expect_error.h"
#include "terse/methods/method.h"

namespace terse {
namespace {

using test::expect_error;
using testing::correlated_inputs;
using testing::random_matrix;

std::unique_ptr<LinearMethod> method(const std::string& name,
                                     std::map<std::string, std::string> options) {
  options.emplace("group_size", "8");
  return make_linear_method(name, MethodOptions(MethodRegistry::instance().find(name), options),
                            {DType::bf16});
}

QuantizedMatrix quantised(const LinearMethod& method, const InputStatistics* inputs) {
  return std::get<QuantizedMatrix>(method.compress({"m", random_matrix(6, 16, 1), inputs}));
}

class Activations : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Methods, Activations, ::testing::Values("rtn", "gptq"));

TEST_P(Activations, AreLeftAloneByDefault) {
  const auto plain = method(GetParam(), {});
  EXPECT_FALSE(plain->needs().any());
  const InputStatistics inputs = testing::statistics_of(correlated_inputs(64, 16, 2));
  EXPECT_EQ(quantised(*plain, &inputs).scheme.activations, std::nullopt);
}

TEST_P(Activations, DynamicOnesNeedNothingAndChangeNoCode) {
  const auto dynamic = method(GetParam(), {{"activations", "dynamic"}, {"activation_bits", "6"}});
  EXPECT_FALSE(dynamic->needs().any());
  const InputStatistics inputs = testing::statistics_of(correlated_inputs(64, 16, 2));
  const QuantizedMatrix result = quantised(*dynamic, &inputs);
  EXPECT_EQ(result.scheme.activations, (ActivationScheme{6, true, ActivationStrategy::token}));
  EXPECT_EQ(result.codes, quantised(*method(GetParam(), {}), &inputs).codes);
}

TEST_P(Activations, StaticOnesSpanAllInputs) {
  const Matrix x = correlated_inputs(64, 16, 2);
  const InputStatistics inputs = testing::statistics_of(x);
  const float low = x.minCoeff();
  const float high = x.maxCoeff();
  const auto symmetric = method(GetParam(), {{"activations", "static"}});
  EXPECT_TRUE(symmetric->needs().ranges);
  const QuantizedMatrix around_zero = quantised(*symmetric, &inputs);
  EXPECT_EQ(around_zero.scheme.activations,
            (ActivationScheme{8, true, ActivationStrategy::tensor}));
  EXPECT_EQ(around_zero.input_scale, std::max(high, -low) / 127.5F);
  EXPECT_EQ(around_zero.input_zero, 0.0F);
  const QuantizedMatrix shifted = quantised(
      *method(GetParam(), {{"activations", "static"}, {"activation_symmetric", "false"}}), &inputs);
  EXPECT_EQ(shifted.input_scale, (high - low) / 255.0F);
  EXPECT_NEAR(shifted.input_zero, -128 - low / shifted.input_scale, 0.501F);
}

TEST_P(Activations, InputsThatAreAllZeroGiveAGrid) {
  const InputStatistics inputs = testing::statistics_of(Matrix::Zero(8, 16));
  const QuantizedMatrix result =
      quantised(*method(GetParam(), {{"activations", "static"}}), &inputs);
  EXPECT_GT(result.input_scale, 0.0F);
}

TEST_P(Activations, StaticOnesWithoutRangesAreRefused) {
  InputStatistics moments(16, {.second_moments = true});
  moments.add(correlated_inputs(64, 16, 2));
  const auto refused = [&](const InputStatistics* inputs, const std::string& says) {
    expect_error(ErrorKind::failed, says, [&] {
      quantised(*method(GetParam(), {{"activations", "static"}}), inputs);
    });
  };
  refused(&moments, "m: static activations need the ranges of the inputs");
  refused(nullptr, "m: ");
}

TEST_P(Activations, OptionsOfActivationsNeedActivations) {
  for (const char* option : {"activation_bits", "activation_symmetric"}) {
    const std::string value = option == std::string("activation_bits") ? "8" : "true";
    expect_error(ErrorKind::usage, std::string("option ") + option + ": says nothing", [&] {
      method(GetParam(), {{option, value}});
    });
  }
  expect_error(ErrorKind::usage, "option activation_bits: 9 is outside 2 to 8", [&] {
    method(GetParam(), {{"activations", "dynamic"}, {"activation_bits", "9"}});
  });
}

}  // namespace
}  // namespace terse
