#include "terse/formats/pack_quantized.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <map>
#include <tuple>

#include "support/expect_error.h"
#include "support/random_quantized.h"
#include "support/temporary_directory.h"
#include "terse/core/file.h"
#include "terse/core/random.h"
#include "terse/core/threads.h"
#include "terse/formats/bit_packing.h"
#include "terse/formats/quantization_config.h"
#include "terse/formats/safetensors.h"

namespace terse {
namespace {

using test::by_name;
using test::expect_equal;
using test::expect_error;
using test::lookup_in;
using test::random_matrix;
using test::TemporaryDirectory;

constexpr const char* kModule = "model.layers.0.mlp.up_proj";

std::vector<QuantizationScheme> all_schemes(std::int64_t group_size) {
  std::vector<QuantizationScheme> schemes;
  for (int bits = 2; bits <= 8; ++bits) {
    for (const bool symmetric : {true, false}) {
      using enum QuantizationStrategy;
      for (const auto strategy : {tensor, channel, group}) {
        schemes.push_back({bits, symmetric, strategy, group_size, ActivationOrdering::none,
                           bits % 2 != 0 ? DType::bf16 : DType::f16});
      }
      schemes.push_back({bits, symmetric, group, group_size, ActivationOrdering::group});
    }
  }
  return schemes;
}

TEST(PackQuantized, NumpyDecodesTheExactWeights) {
  const TemporaryDirectory directory;
  SafetensorsWriter writer(directory / "model.safetensors");
  Json modules = Json::object();
  std::uint64_t seed = 0;
  // 45 columns fill no whole number of words at any width; neither do 19 or 33 rows.
  for (const auto& [rows, columns, group_size] :
       {std::tuple{19, 45, 9}, std::tuple{33, 64, 32}, std::tuple{1, 5, 5}}) {
    for (const QuantizationScheme& scheme : all_schemes(group_size)) {
      const std::string name = fmt::format("module{}", seed);
      const QuantizedMatrix matrix = random_matrix(scheme, rows, columns, ++seed);
      for (const NamedTensor& tensor : pack_quantized(name, matrix)) {
        writer.add(tensor.name, tensor.tensor);
      }
      const Matrix dense = matrix.dense();
      writer.add(name + ".expected", Tensor::from_matrix(DType::f32, dense));
      modules[name] = QuantizationConfig{
          {{{"Linear"}, scheme}},
          {}}.to_json()["config_groups"]["group_0"]["weights"];
    }
  }
  writer.commit();
  write_file(directory / "modules.json", modules.dump());
  const std::string command =
      fmt::format("/usr/bin/python3 '{}/tests/formats/decode_pack_quantized.py' '{}'",
                  TERSE_SOURCE_DIR, directory.path().string());
  EXPECT_EQ(std::system(command.c_str()), 0);  // NOLINT(concurrency-mt-unsafe)
}

TEST(PackQuantized, UnpackReversesPack) {
  std::uint64_t seed = 100;
  for (const QuantizationScheme& scheme : all_schemes(16)) {
    const QuantizedMatrix matrix = random_matrix(scheme, 70, 48, ++seed);
    const auto tensors = by_name(pack_quantized(kModule, matrix));
    expect_equal(unpack_quantized(kModule, scheme, lookup_in(tensors)), matrix);
  }
}

TEST(PackQuantized, SameBytesOnAnyNumberOfThreads) {
  const QuantizedMatrix matrix = random_matrix({.bits = 3}, 300, 256, 5);
  const int before = thread_count();
  set_thread_count(1);
  const auto expected = pack_quantized(kModule, matrix);
  for (const int threads : {2, 3, 5}) {
    set_thread_count(threads);
    const auto tensors = pack_quantized(kModule, matrix);
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      EXPECT_TRUE(std::ranges::equal(tensors[i].tensor.bytes(), expected[i].tensor.bytes()));
    }
    expect_equal(unpack_quantized(kModule, matrix.scheme, lookup_in(by_name(tensors))), matrix);
  }
  set_thread_count(before);
}

TEST(PackQuantized, TypesAndShapesAreThoseOfTheReference) {
  const QuantizationScheme scheme{.bits = 3,
                                  .group_size = 8,
                                  .actorder = ActivationOrdering::group,
                                  .scale_dtype = DType::bf16};
  const auto tensors = by_name(pack_quantized("m", random_matrix(scheme, 20, 40, 1)));
  ASSERT_EQ(tensors.size(), 5U);
  EXPECT_EQ(tensors.at("m.weight_packed").dtype(), DType::i32);
  EXPECT_EQ(tensors.at("m.weight_packed").shape(), (Shape{20, 4}));
  EXPECT_EQ(tensors.at("m.weight_scale").dtype(), DType::bf16);
  EXPECT_EQ(tensors.at("m.weight_scale").shape(), (Shape{20, 5}));
  EXPECT_EQ(tensors.at("m.weight_zero_point").dtype(), DType::i32);
  EXPECT_EQ(tensors.at("m.weight_zero_point").shape(), (Shape{2, 5}));
  EXPECT_EQ(tensors.at("m.weight_g_idx").shape(), (Shape{40}));
  EXPECT_EQ(tensors.at("m.weight_shape").to_values<std::int64_t>(),
            (std::vector<std::int64_t>{20, 40}));
}

// Packed by hand as compressed-tensors did before elements could straddle words.
TEST(PackQuantized, ReadsThePaddedWordsOfOlderFiles) {
  for (const int bits : {3, 5, 6, 7}) {
    const QuantizationScheme scheme{.bits = bits, .group_size = 64};
    const QuantizedMatrix matrix = random_matrix(scheme, 224, 192, 9);
    auto tensors = by_name(pack_quantized("m", matrix));
    const std::int64_t slots = 32 / bits;
    const auto repack = [&](std::int64_t lines, std::int64_t count, const auto& element) {
      const std::int64_t words = (count + slots - 1) / slots;
      std::vector<std::uint32_t> packed(static_cast<std::size_t>(lines * words));
      for (std::int64_t line = 0; line < lines; ++line) {
        for (std::int64_t i = 0; i < count; ++i) {
          packed[static_cast<std::size_t>(line * words + i / slots)] |=
              static_cast<std::uint32_t>(element(line, i)) << (i % slots * bits);
        }
      }
      return packed;
    };
    const auto codes = repack(224, 192, [&](std::int64_t r, std::int64_t c) {
      return matrix.codes[static_cast<std::size_t>(r * 192 + c)];
    });
    const auto zero_columns = repack(3, 224, [&](std::int64_t g, std::int64_t r) {
      return matrix.zeros[static_cast<std::size_t>(r * 3 + g)];
    });
    const auto zero_words = static_cast<std::int64_t>(zero_columns.size()) / 3;
    std::vector<std::uint32_t> zeros;
    for (std::int64_t w = 0; w < zero_words; ++w) {
      for (std::int64_t g = 0; g < 3; ++g) {
        zeros.push_back(zero_columns[static_cast<std::size_t>(g * zero_words + w)]);
      }
    }
    tensors["m.weight_packed"] = Tensor::from_values<std::uint32_t>(
        DType::i32, {224, static_cast<std::int64_t>(codes.size()) / 224}, codes);
    tensors["m.weight_zero_point"] =
        Tensor::from_values<std::uint32_t>(DType::i32, {zero_words, 3}, zeros);
    expect_equal(unpack_quantized("m", scheme, lookup_in(tensors)), matrix);
  }
}

TEST(PackQuantized, AcceptsOtherSpellingsOfTheSame) {
  const QuantizationScheme scheme{
      .bits = 4, .group_size = 8, .actorder = ActivationOrdering::group};
  QuantizedMatrix matrix = random_matrix(scheme, 6, 16, 1);
  auto tensors = by_name(pack_quantized("m", matrix));
  const std::vector<std::int32_t> shape{6, 16};
  tensors["m.weight_shape"] = Tensor::from_values<std::int32_t>(DType::i32, {2}, shape);
  const std::vector<std::int32_t> unset(16, -1);
  tensors["m.weight_g_idx"] = Tensor::from_values<std::int32_t>(DType::i32, {16}, unset);
  matrix.g_idx.clear();
  expect_equal(unpack_quantized("m", scheme, lookup_in(tensors)), matrix);

  const QuantizationScheme channel{.bits = 4, .strategy = QuantizationStrategy::channel};
  const QuantizedMatrix rows = random_matrix(channel, 6, 16, 1);
  tensors = by_name(pack_quantized("m", rows));
  const Tensor scale = tensors["m.weight_scale"];
  tensors["m.weight_scale"] = Tensor::from_floats(DType::f32, {6}, scale.to_floats());
  expect_equal(unpack_quantized("m", channel, lookup_in(tensors)), rows);
}

TEST(PackQuantized, RefusesTensorsThatLie) {
  const QuantizationScheme scheme{
      .bits = 4, .group_size = 8, .actorder = ActivationOrdering::group};
  const auto good = by_name(pack_quantized("m", random_matrix(scheme, 6, 16, 1)));
  const auto refused = [&](const std::string& part, const Tensor& tensor, const std::string& says) {
    auto tensors = good;
    tensors["m." + part] = tensor;
    expect_error(ErrorKind::bad_input, says,
                 [&] { unpack_quantized("m", scheme, lookup_in(tensors)); });
  };
  const auto ints = [](const std::vector<std::int32_t>& values, Shape shape) {
    return Tensor::from_values<std::int32_t>(DType::i32, std::move(shape), values);
  };
  const auto zeros = [](DType dtype, Shape shape) {
    const auto bytes = static_cast<std::size_t>(element_count(shape)) * dtype_size(dtype);
    return Tensor::from_bytes(dtype, std::move(shape), std::vector<std::byte>(bytes));
  };
  for (const auto& [name, tensor] : good) {
    auto tensors = good;
    tensors.erase(name);
    expect_error(ErrorKind::bad_input, name,
                 [&] { unpack_quantized("m", scheme, lookup_in(tensors)); });
  }
  refused("weight_packed", zeros(DType::u32, {6, 2}),
          "tensor m.weight_packed: expected I32, found");
  refused("weight_packed", zeros(DType::i32, {6, 3}), "expected shape [6, 2]");
  refused("weight_packed", zeros(DType::i32, {12}), "expected shape [6, 2]");
  refused("weight_scale", zeros(DType::i32, {6, 2}), "m.weight_scale: expected F32, found I32");
  refused("weight_scale", zeros(DType::f32, {6, 1}), "expected shape [6, 2]");
  refused("weight_zero_point", zeros(DType::i8, {6, 2}), "m.weight_zero_point: expected I32");
  refused("weight_zero_point", zeros(DType::i32, {6, 2}), "expected shape [1, 2]");
  refused("weight_g_idx", zeros(DType::i64, {16}), "m.weight_g_idx: expected I32, found I64");
  refused("weight_g_idx", zeros(DType::i32, {15}), "expected shape [16]");
  std::vector<std::int32_t> groups(16, 1);
  groups[7] = 2;
  refused("weight_g_idx", ints(groups, {16}), "column 7 is in group 2, but there are 2 groups");
  groups[7] = -1;
  refused("weight_g_idx", ints(groups, {16}), "column 7 is in group -1");
  refused("weight_shape", ints({6}, {1}), "expected two numbers");
  refused("weight_shape", ints({-6, 16}, {2}), "[-6, 16] is not the shape of a weight");
  refused("weight_shape", ints({6, 0}, {2}), "is not the shape of a weight");
  refused("weight_shape", ints({6, 12}, {2}), "group_size 8 does not divide 12 columns");
  refused("weight_shape", ints({2147483647, 2147483640}, {2}), "m.weight_packed: expected shape");
  refused("weight_shape", zeros(DType::f32, {2}), "m.weight_shape: expected I64, found F32");
  std::vector<float> scales(12, 1.0F);
  scales[5] = std::numeric_limits<float>::infinity();
  refused("weight_scale", Tensor::from_floats(DType::f32, {6, 2}, scales),
          "m.weight_scale: element 5 is inf, not a finite number");
  scales[5] = std::numeric_limits<float>::quiet_NaN();
  refused("weight_scale", Tensor::from_floats(DType::f16, {6, 2}, scales), "element 5 is nan");
}

TEST(PackQuantized, RefusesATensorZeroOutsideItsBits) {
  const QuantizationScheme scheme{.bits = 3, .strategy = QuantizationStrategy::tensor};
  auto tensors = by_name(pack_quantized("m", random_matrix(scheme, 2, 3, 1)));
  const std::vector<std::int8_t> zero{4};
  tensors["m.weight_zero_point"] = Tensor::from_values<std::int8_t>(DType::i8, {1}, zero);
  expect_error(ErrorKind::bad_input, "m.weight_zero_point: 4 is outside 3 bits",
               [&] { unpack_quantized("m", scheme, lookup_in(tensors)); });
}

TEST(PackQuantized, RefusesAMatrixThatContradictsItsScheme) {
  const QuantizationScheme scheme{.bits = 3, .group_size = 4};
  const QuantizedMatrix good = random_matrix(scheme, 2, 8, 1);
  const auto refused = [&](const auto& spoil) {
    QuantizedMatrix matrix = good;
    spoil(matrix);
    EXPECT_THROW(pack_quantized("m", matrix), Error);
  };
  refused([](QuantizedMatrix& m) { m.codes[3] = 8; });
  refused([](QuantizedMatrix& m) { m.codes.pop_back(); });
  refused([](QuantizedMatrix& m) { m.zeros[0] = 8; });
  refused([](QuantizedMatrix& m) { m.scales.resize(2, 1); });
  refused([](QuantizedMatrix& m) { m.scheme.group_size = 3; });
  refused([](QuantizedMatrix& m) { m.g_idx = {0}; });
}

}  // namespace
}  // namespace terse
