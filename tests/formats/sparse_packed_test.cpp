#include "terse/formats/sparse_packed.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/random_quantized.h"
#include "terse/core/threads.h"

namespace terse {
namespace {

using test::by_name;
using test::expect_equal;
using test::expect_error;
using test::lookup_in;
using test::prune_codes;
using test::prune_two_of_four;
using test::random_matrix;

std::map<std::string, Tensor> packed(const QuantizedMatrix& matrix, SparseLayout layout) {
  return by_name(pack_sparse_quantized("m", matrix, nonzero_mask(matrix), layout));
}

std::vector<QuantizationScheme> all_schemes(std::int64_t group_size) {
  std::vector<QuantizationScheme> schemes;
  for (const int bits : {2, 3, 4, 8}) {
    for (const bool symmetric : {true, false}) {
      using enum QuantizationStrategy;
      for (const auto strategy : {tensor, channel, group}) {
        schemes.push_back(
            {bits, symmetric, strategy, group_size, ActivationOrdering::none, DType::f16});
      }
      schemes.push_back({bits, symmetric, group, group_size, ActivationOrdering::group});
      schemes.back().activations = ActivationScheme{8, false, ActivationStrategy::tensor};
    }
  }
  return schemes;
}

TEST(SparsePacked, WhatIsStoredIsReadBack) {
  std::uint64_t seed = 0;
  for (const QuantizationScheme& scheme : all_schemes(9)) {
    const QuantizedMatrix matrix = prune_codes(random_matrix(scheme, 70, 45, ++seed), 0.6, 7);
    const auto tensors = packed(matrix, SparseLayout::bitmap);
    expect_equal(unpack_sparse_quantized("m", scheme, SparseLayout::bitmap, lookup_in(tensors)),
                 matrix);
  }
  for (const QuantizationScheme& scheme : all_schemes(4)) {
    const QuantizedMatrix matrix = prune_two_of_four(random_matrix(scheme, 70, 44, ++seed));
    const auto tensors = packed(matrix, SparseLayout::two_four);
    expect_equal(unpack_sparse_quantized("m", scheme, SparseLayout::two_four, lookup_in(tensors)),
                 matrix);
  }
}

// Row 0: codes 5 and 9 of columns 1 and 9; row 1: nothing; row 2: 15 of column 0.
TEST(SparsePacked, BitmapTensorsByHand) {
  const QuantizationScheme scheme{
      .bits = 4, .symmetric = true, .strategy = QuantizationStrategy::channel};
  QuantizedMatrix matrix = random_matrix(scheme, 3, 10, 1);
  matrix.codes.assign(30, 8);
  matrix.codes[1] = 5;
  matrix.codes[9] = 9;
  matrix.codes[20] = 15;
  const auto tensors = packed(matrix, SparseLayout::bitmap);
  ASSERT_EQ(tensors.size(), 4U);
  EXPECT_EQ(tensors.at("m.bitmask").to_values<std::uint8_t>(),
            (std::vector<std::uint8_t>{0x02, 0x02, 0, 0, 0x01, 0}));
  EXPECT_EQ(tensors.at("m.weight_packed").to_values<std::uint32_t>(),
            (std::vector<std::uint32_t>{0x95, 0x0F}));
  EXPECT_EQ(tensors.at("m.weight_packed").shape(), (Shape{2}));
  EXPECT_EQ(tensors.at("m.weight_shape").to_values<std::int64_t>(),
            (std::vector<std::int64_t>{3, 10}));
}

// A four with fewer than two nonzero codes keeps zero points in its first places.
TEST(SparsePacked, TwoFourTensorsByHand) {
  const QuantizationScheme scheme{
      .bits = 4, .symmetric = true, .strategy = QuantizationStrategy::channel};
  QuantizedMatrix matrix = random_matrix(scheme, 1, 12, 1);
  matrix.codes = {8, 1, 8, 2, 8, 8, 3, 8, 8, 8, 8, 8};
  const auto tensors = packed(matrix, SparseLayout::two_four);
  EXPECT_EQ(tensors.at("m.bitmask").to_values<std::uint8_t>(),
            (std::vector<std::uint8_t>{0x5A, 0x03}));
  EXPECT_EQ(tensors.at("m.weight_packed").to_values<std::uint32_t>(),
            (std::vector<std::uint32_t>{0x883821}));
  EXPECT_EQ(tensors.at("m.weight_packed").shape(), (Shape{1, 1}));
  expect_equal(unpack_sparse_quantized("m", scheme, SparseLayout::two_four, lookup_in(tensors)),
               matrix);
}

TEST(SparsePacked, BytesAreThoseThatTheLayoutPromises) {
  const QuantizationScheme scheme{.bits = 4, .group_size = 128};
  const QuantizedMatrix matrix = prune_two_of_four(random_matrix(scheme, 64, 256, 1));
  const auto tensors = packed(matrix, SparseLayout::two_four);
  const std::size_t bytes =
      tensors.at("m.weight_packed").bytes().size() + tensors.at("m.bitmask").bytes().size();
  EXPECT_EQ(8.0 * static_cast<double>(bytes) / (64 * 256), 1 + 4 / 2.0);
}

TEST(SparsePacked, SameBytesOnAnyNumberOfThreads) {
  const QuantizedMatrix matrix = prune_codes(random_matrix({.bits = 3}, 300, 256, 5), 0.5, 6);
  const int before = thread_count();
  set_thread_count(1);
  const auto expected = packed(matrix, SparseLayout::bitmap);
  for (const int threads : {2, 3, 5}) {
    set_thread_count(threads);
    const auto tensors = packed(matrix, SparseLayout::bitmap);
    for (const auto& [name, tensor] : tensors) {
      EXPECT_TRUE(std::ranges::equal(tensor.bytes(), expected.at(name).bytes())) << name;
    }
    expect_equal(
        unpack_sparse_quantized("m", matrix.scheme, SparseLayout::bitmap, lookup_in(tensors)),
        matrix);
  }
  set_thread_count(before);
}

TEST(SparsePacked, RefusesTensorsThatLie) {
  const QuantizationScheme scheme{.bits = 4, .group_size = 4};
  const auto bitmap =
      packed(prune_codes(random_matrix(scheme, 3, 12, 1), 0.5, 2), SparseLayout::bitmap);
  const auto two_four =
      packed(prune_two_of_four(random_matrix(scheme, 3, 12, 1)), SparseLayout::two_four);
  const auto refused = [&](const auto& good, SparseLayout layout, const std::string& part,
                           const Tensor& tensor, const std::string& says) {
    auto tensors = good;
    tensors["m." + part] = tensor;
    expect_error(ErrorKind::bad_input, says,
                 [&] { unpack_sparse_quantized("m", scheme, layout, lookup_in(tensors)); });
  };
  for (const auto& [name, tensor] : bitmap) {
    auto tensors = bitmap;
    tensors.erase(name);
    expect_error(ErrorKind::bad_input, name, [&] {
      unpack_sparse_quantized("m", scheme, SparseLayout::bitmap, lookup_in(tensors));
    });
  }
  const auto zeros = [](DType dtype, Shape shape) {
    const auto bytes = static_cast<std::size_t>(element_count(shape)) * dtype_size(dtype);
    return Tensor::from_bytes(dtype, std::move(shape), std::vector<std::byte>(bytes));
  };
  const auto shape = [](std::int64_t rows, std::int64_t columns) {
    const std::vector<std::int64_t> sizes{rows, columns};
    return Tensor::from_values<std::int64_t>(DType::i64, {2}, sizes);
  };
  constexpr auto kBitmap = SparseLayout::bitmap;
  constexpr auto kTwoFour = SparseLayout::two_four;
  refused(bitmap, kBitmap, "weight_packed", zeros(DType::i32, {99}),
          "m.weight_packed: expected shape");
  refused(bitmap, kBitmap, "weight_packed", zeros(DType::u32, {3}),
          "m.weight_packed: expected I32");
  refused(bitmap, kBitmap, "bitmask", zeros(DType::u8, {3, 2}),
          "m.weight_packed: expected shape [0]");
  refused(bitmap, kBitmap, "bitmask", zeros(DType::u8, {3, 1}), "m.bitmask: expected U8 [3, 2]");
  refused(bitmap, kBitmap, "bitmask", zeros(DType::i8, {3, 2}), "m.bitmask: expected U8");
  refused(bitmap, kBitmap, "weight_shape", shape(2147483647, 2147483644), "m.bitmask: expected U8");
  refused(bitmap, kBitmap, "weight_shape", shape(3, 11), "group_size 4 does not divide 11 columns");
  refused(bitmap, kBitmap, "weight_shape", shape(3, 8), "m.bitmask: expected U8 [3, 1]");
  refused(bitmap, kBitmap, "weight_scale", zeros(DType::f32, {3, 2}), "expected shape [3, 3]");
  refused(bitmap, kBitmap, "weight_zero_point", zeros(DType::i32, {3, 3}), "expected shape [1, 3]");
  refused(two_four, kTwoFour, "bitmask", zeros(DType::u8, {3, 2}),
          "row 0 does not keep two of each");
  refused(two_four, kTwoFour, "weight_packed", zeros(DType::i32, {3}), "expected shape [3, 1]");
  refused(two_four, kBitmap, "bitmask", two_four.at("m.bitmask"), "expected shape [3]");
}

}  // namespace
}  // namespace terse
