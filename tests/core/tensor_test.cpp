#include "terse/core/tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "terse/core/error.h"

namespace terse {
namespace {

using testing::ElementsAre;

TEST(Shape, CountsElementsAndRefusesOverflow) {
  EXPECT_EQ(element_count({}), 1);
  EXPECT_EQ(element_count({2, 3, 4}), 24);
  EXPECT_EQ(element_count({2, 0}), 0);
  EXPECT_THROW(element_count({-1}), Error);
  EXPECT_THROW(element_count({INT64_MAX, 2}), Error);
  EXPECT_THROW(element_count({1LL << 32, 1LL << 31}), Error);
  EXPECT_EQ(element_count({1LL << 32, 1LL << 30}), 1LL << 62);
  EXPECT_EQ(shape_text({2, 3}), "[2, 3]");
  EXPECT_EQ(shape_text({}), "[]");
}

TEST(Tensor, BytesMustBeThoseOfTheShape) {
  EXPECT_THROW(Tensor::from_bytes(DType::f32, {2}, std::vector<std::byte>(7)), Error);
  EXPECT_NO_THROW(Tensor::from_bytes(DType::f32, {2}, std::vector<std::byte>(8)));
  EXPECT_NO_THROW(Tensor::from_bytes(DType::f32, {0, 5}, {}));
}

TEST(Tensor, HoldsValuesOfItsType) {
  const std::vector<std::int32_t> ids{1, -2, 3};
  const Tensor tensor = Tensor::from_values<std::int32_t>(DType::i32, {3}, ids);
  EXPECT_EQ(tensor.to_values<std::int32_t>(), ids);
  EXPECT_EQ(tensor.elements(), 3);
  EXPECT_THROW(tensor.to_values<std::int64_t>(), Error);
  EXPECT_THROW(tensor.to_floats(), Error);
}

TEST(Tensor, FloatsAreRowMajorMatrices) {
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  const Tensor tensor = Tensor::from_floats(DType::bf16, {2, 3}, values);
  EXPECT_EQ(tensor.bytes().size(), 12U);
  EXPECT_EQ(tensor.to_floats(), values);
  const Matrix matrix = tensor.to_matrix();
  EXPECT_EQ(matrix.rows(), 2);
  EXPECT_EQ(matrix(1, 0), 4.0F);
  const Matrix row = Tensor::from_floats(DType::f32, {6}, values).to_matrix();
  EXPECT_EQ(row.rows(), 1);
  EXPECT_EQ(row.cols(), 6);
  EXPECT_THROW(Tensor::from_floats(DType::f32, {1, 2, 3}, values).to_matrix(), Error);
  EXPECT_THROW(Tensor::from_floats(DType::f32, {}, std::vector{1.0F}).to_matrix(), Error);
}

TEST(Tensor, CopiesShareTheBytes) {
  const Tensor tensor = Tensor::from_floats(DType::f32, {1}, std::vector{1.0F});
  const Tensor copy = tensor;
  EXPECT_EQ(copy.bytes().data(), tensor.bytes().data());
}

}  // namespace
}  // namespace terse
