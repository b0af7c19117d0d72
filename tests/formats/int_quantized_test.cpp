#include "terse/formats/int_quantized.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>

#include "support/expect_error.h"
#include "support/random_quantized.h"
#include "support/temporary_directory.h"
#include "terse/core/file.h"
#include "terse/formats/quantization_config.h"
#include "terse/formats/safetensors.h"

namespace terse {
namespace {

using test::by_name;
using test::expect_equal;
using test::expect_error;
using test::lookup_in;
using test::random_matrix;
using enum QuantizationStrategy;

std::vector<QuantizationScheme> all_schemes(std::int64_t group_size) {
  std::vector<QuantizationScheme> schemes;
  for (const bool symmetric : {true, false}) {
    for (const auto strategy : {tensor, channel, QuantizationStrategy::group}) {
      for (const auto inputs : {ActivationStrategy::token, ActivationStrategy::tensor}) {
        QuantizationScheme scheme{
            8, symmetric, strategy, group_size, ActivationOrdering::none, DType::bf16};
        scheme.activations = ActivationScheme{8, symmetric, inputs};
        schemes.push_back(scheme);
      }
    }
    schemes.push_back(
        {8, symmetric, QuantizationStrategy::group, group_size, ActivationOrdering::group});
    schemes.push_back({5, symmetric, channel});
  }
  return schemes;
}

TEST(IntQuantized, NumpyDecodesTheExactWeights) {
  const test::TemporaryDirectory directory;
  SafetensorsWriter writer(directory / "model.safetensors");
  Json modules = Json::object();
  std::uint64_t seed = 0;
  for (const QuantizationScheme& scheme : all_schemes(9)) {
    const std::string name = fmt::format("module{}", seed);
    const QuantizedMatrix matrix = random_matrix(scheme, 19, 45, ++seed);
    for (const NamedTensor& tensor : store_int_quantized(name, matrix)) {
      writer.add(tensor.name, tensor.tensor);
    }
    const Matrix dense = matrix.dense();
    writer.add(name + ".expected", Tensor::from_matrix(DType::f32, dense));
    modules[name] = scheme_json(scheme)["weights"];
  }
  writer.commit();
  write_file(directory / "modules.json", modules.dump());
  const std::string command =
      fmt::format("/usr/bin/python3 '{}/tests/formats/decode_pack_quantized.py' '{}'",
                  TERSE_SOURCE_DIR, directory.path().string());
  EXPECT_EQ(std::system(command.c_str()), 0);  // NOLINT(concurrency-mt-unsafe)
}

TEST(IntQuantized, WhatIsStoredIsReadBack) {
  std::uint64_t seed = 100;
  for (const QuantizationScheme& scheme : all_schemes(16)) {
    const QuantizedMatrix matrix = random_matrix(scheme, 70, 48, ++seed);
    const auto tensors = by_name(store_int_quantized("m", matrix));
    expect_equal(load_int_quantized("m", scheme, lookup_in(tensors)), matrix);
  }
}

// The numbers of a page: code 0 is -128, the zero point 3 of the unsigned grid is -125.
TEST(IntQuantized, HoldsSignedCodes) {
  QuantizationScheme scheme{.bits = 8, .strategy = channel};
  scheme.activations = ActivationScheme{8, false, ActivationStrategy::tensor};
  QuantizedMatrix matrix = random_matrix(scheme, 2, 2, 1);
  matrix.codes = {0, 128, 255, 3};
  matrix.zeros = {3, 128};
  matrix.scales << 0.5F, 2.0F;
  matrix.input_scale = 0.1F;
  matrix.input_zero = -7;
  const auto tensors = by_name(store_int_quantized("m", matrix));
  ASSERT_EQ(tensors.size(), 5U);
  using Bytes = std::vector<std::int8_t>;
  EXPECT_EQ(tensors.at("m.weight").to_values<std::int8_t>(), (Bytes{-128, 0, 127, -125}));
  EXPECT_EQ(tensors.at("m.weight").shape(), (Shape{2, 2}));
  EXPECT_EQ(tensors.at("m.weight_zero_point").to_values<std::int8_t>(), (Bytes{-125, 0}));
  EXPECT_EQ(tensors.at("m.weight_zero_point").shape(), (Shape{2, 1}));
  EXPECT_EQ(tensors.at("m.weight_scale").shape(), (Shape{2, 1}));
  EXPECT_EQ(tensors.at("m.input_scale").to_floats(), (std::vector<float>{0.1F}));
  EXPECT_EQ(tensors.at("m.input_zero_point").to_values<std::int8_t>(), (Bytes{-7}));
}

TEST(IntQuantized, RefusesTensorsThatLie) {
  QuantizationScheme scheme{.bits = 4, .group_size = 8};
  scheme.activations = ActivationScheme{4, false, ActivationStrategy::tensor};
  const auto good = by_name(store_int_quantized("m", random_matrix(scheme, 6, 16, 1)));
  const auto refused = [&](const std::string& part, const Tensor& tensor, const std::string& says) {
    auto tensors = good;
    tensors["m." + part] = tensor;
    expect_error(ErrorKind::bad_input, says,
                 [&] { load_int_quantized("m", scheme, lookup_in(tensors)); });
  };
  const auto bytes = [](Shape shape, std::int8_t value) {
    const std::vector<std::int8_t> values(static_cast<std::size_t>(element_count(shape)), value);
    return Tensor::from_values<std::int8_t>(DType::i8, std::move(shape), values);
  };
  const auto number = [](float value) { return Tensor::from_floats(DType::f32, {1}, {&value, 1}); };
  for (const auto& [name, tensor] : good) {
    auto tensors = good;
    tensors.erase(name);
    expect_error(ErrorKind::bad_input, name,
                 [&] { load_int_quantized("m", scheme, lookup_in(tensors)); });
  }
  refused("weight", bytes({6, 16}, 8), "m.weight: 8 in row 0 is outside 4 bits");
  refused("weight", bytes({6, 16}, -9), "m.weight: -9 in row 0 is outside 4 bits");
  refused("weight", bytes({96}, 0), "expected two dimensions, found shape [96]");
  refused("weight", bytes({6, 12}, 0), "group_size 8 does not divide 12 columns");
  refused("weight", bytes({0, 16}, 0), "is not the shape of a weight");
  refused("weight", Tensor::from_floats(DType::f32, {1}, std::vector<float>{1}), "expected I8");
  refused("weight", bytes({5, 16}, 0), "m.weight_scale: expected shape [5, 2]");
  refused("weight_zero_point", bytes({6, 2}, 8), "m.weight_zero_point: 8 is outside 4 bits");
  refused("weight_zero_point", bytes({6, 1}, 0), "expected shape [6, 2]");
  refused("input_scale", number(0.0F), "m.input_scale: 0 is not a positive number");
  refused("input_scale", number(-1.0F), "-1 is not a positive number");
  refused("input_scale", number(std::numeric_limits<float>::quiet_NaN()), "nan is not");
  refused("input_scale", bytes({1}, 1), "m.input_scale: expected F32, found I8");
  refused("input_zero_point", bytes({1}, 8), "m.input_zero_point: 8 is outside 4 bits");
  refused("input_zero_point", bytes({2}, 0), "expected shape [1]");
}

TEST(IntQuantized, RefusesAnInputGridThatContradictsItsScheme) {
  QuantizationScheme scheme{.bits = 8, .strategy = channel};
  scheme.activations = ActivationScheme{8, true, ActivationStrategy::tensor};
  const QuantizedMatrix good = random_matrix(scheme, 2, 8, 1);
  const auto refused = [&](const auto& spoil) {
    QuantizedMatrix matrix = good;
    spoil(matrix);
    EXPECT_THROW(store_int_quantized("m", matrix), Error);
  };
  refused([](QuantizedMatrix& m) { m.input_scale = 0; });
  refused([](QuantizedMatrix& m) { m.input_zero = 1; });
  refused([](QuantizedMatrix& m) {
    m.scheme.activations->symmetric = false;
    m.input_zero = 0.5F;
  });
}

}  // namespace
}  // namespace terse
