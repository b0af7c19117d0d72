// Integers with a low-rank sum: what is saved reads back, multiplies like its dense form, and what
// lies is refused.
#include "terse/model/weights/low_rank_sum.h"

#include <gtest/gtest.h>

#include <limits>

#include "support/expect_error.h"
#include "support/random_quantized.h"
#include "support/random_values.h"
#include "support/stored_weight.h"
#include "terse/model/weights/dense.h"
#include "terse/model/weights/group_quantized.h"

namespace terse {
namespace {

using test::random_values;

using test::expect_error;
using test::random_matrix;

std::shared_ptr<Weight> integers() {
  return std::make_shared<GroupQuantizedWeight>(
      random_matrix({.bits = 3, .group_size = 16}, 24, 32, 1));
}

LowRankSum sum_of_rank(std::int64_t rank, DType dtype = DType::bf16) {
  return {integers(), random_values(rank, 32, 2), random_values(24, rank, 3), dtype};
}

using LowRankSums = test::StoredWeight;

TEST_F(LowRankSums, ReadBackAsTheyWereSaved) {
  for (const std::int64_t rank : {1, 5, 24}) {
    const LowRankSum weight = sum_of_rank(rank);
    expect_read_back(weight, "3 bits group 16 + rank " + std::to_string(rank));
  }
}

TEST_F(LowRankSums, MultiplyLikeTheirDenseForm) {
  LowRankSum weight = sum_of_rank(5, DType::f32);
  weight.prepare();
  const Matrix x = random_values(7, 32, 4);
  Matrix y(7, 24);
  weight.multiply(x, y);
  const Matrix expected = x * weight.dense().transpose();
  EXPECT_LT((y - expected).cwiseAbs().maxCoeff(), 1e-5F * expected.cwiseAbs().maxCoeff());
  Matrix row(1, 32);
  weight.row(11, row.data());
  EXPECT_LT((row - weight.dense().row(11)).cwiseAbs().maxCoeff(), 1e-5F);
  // A row's result does not depend on the rows computed with it.
  Matrix alone(1, 24);
  weight.multiply(x.row(3), alone);
  EXPECT_EQ(alone, Matrix(y.row(3)));
}

TEST_F(LowRankSums, RefuseFactorsThatLie) {
  const auto refused = [&](const std::string& name, const Tensor& tensor, const std::string& says) {
    save(sum_of_rank(4), [&](NamedTensor& stored) {
      if (stored.name == name) stored.tensor = tensor;
    });
    expect_error(ErrorKind::bad_input, says, [&] { load()->prepare(); });
  };
  const auto zeros = [](Shape shape) {
    const std::vector<float> values(static_cast<std::size_t>(element_count(shape)));
    return Tensor::from_floats(DType::f32, std::move(shape), values);
  };
  refused("m.low_rank_a", zeros({4, 31}), "do not fit a weight of [24, 32]");
  refused("m.low_rank_a", zeros({3, 32}), "do not fit");
  refused("m.low_rank_a", zeros({0, 32}), "do not fit");
  refused("m.low_rank_a", zeros({128}), "expected real numbers of two dimensions");
  refused("m.low_rank_b", zeros({23, 4}), "do not fit");
  Matrix damaged = random_values(24, 4, 3);
  damaged(2, 1) = std::numeric_limits<float>::infinity();
  refused("m.low_rank_b", Tensor::from_matrix(DType::f32, damaged), "NaN or infinity");
}

TEST_F(LowRankSums, AreForDenseIntegersAlone) {
  const auto dense = std::make_shared<DenseWeight>(random_values(24, 32, 1), DType::bf16);
  expect_error(ErrorKind::failed, "found bfloat16", [&] {
    LowRankSum(dense, random_values(4, 32, 2), random_values(24, 4, 3), DType::bf16);
  });
}

}  // namespace
}  // namespace terse
