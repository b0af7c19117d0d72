// Products of two narrow weights: what is saved reads back, whatever kinds its factors are,
// multiplies like its dense form, and what lies is refused.
#include "terse/model/weights/low_rank.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/random_quantized.h"
#include "support/random_values.h"
#include "support/stored_weight.h"
#include "terse/model/weights/dense.h"
#include "terse/model/weights/low_rank_sum.h"
#include "terse/model/weights/storage.h"

namespace terse {
namespace {

using test::expect_error;
using test::random_values;

std::shared_ptr<Weight> dense(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  return std::make_shared<DenseWeight>(random_values(rows, columns, seed), DType::bf16);
}

std::shared_ptr<Weight> integers(std::int64_t rows, std::int64_t columns, int bits) {
  return plain_weight(test::random_matrix({.bits = bits, .group_size = 8}, rows, columns, 1));
}

std::shared_ptr<Weight> sparse(std::int64_t rows, std::int64_t columns) {
  Matrix values = random_values(rows, columns, 5);
  values = (values.array() > 0.5F).select(values, 0.0F);
  return smallest_weight(values, DType::bf16);
}

using LowRanks = test::StoredWeight;

TEST_F(LowRanks, ReadBackAsTheyWereSaved) {
  const auto corrected = std::make_shared<LowRankSum>(integers(8, 32, 3), random_values(2, 32, 2),
                                                      random_values(8, 2, 3), DType::bf16);
  const std::vector<std::pair<LowRank, std::string>> all = {
      {{dense(5, 32, 1), dense(24, 5, 2)}, "rank 5 bfloat16"},
      {{integers(8, 32, 4), integers(24, 8, 4)}, "rank 8 4 bits group 8"},
      {{integers(8, 32, 4), dense(24, 8, 2)}, "rank 8 4 bits group 8 and bfloat16"},
      {{dense(8, 32, 2), integers(24, 8, 3)}, "rank 8 bfloat16 and 3 bits group 8"},
      {{sparse(8, 32), sparse(24, 8)}, "rank 8 bfloat16 bitmap"},
      {{corrected, dense(24, 8, 2)}, "rank 8 3 bits group 8 + rank 2 and bfloat16"}};
  for (const auto& [weight, kind] : all) {
    expect_read_back(weight, kind);
  }
}

TEST_F(LowRanks, MultiplyLikeTheirDenseForm) {
  for (LowRank weight : {LowRank(dense(5, 32, 1), dense(24, 5, 2)),
                         LowRank(integers(8, 32, 4), integers(24, 8, 4))}) {
    weight.prepare();
    const Matrix x = random_values(7, 32, 4);
    Matrix y(7, 24);
    weight.multiply(x, y);
    const Matrix expected = x * weight.dense().transpose();
    EXPECT_LT((y - expected).cwiseAbs().maxCoeff(), 1e-5F * expected.cwiseAbs().maxCoeff());
    Matrix row(1, 32);
    weight.row(11, row.data());
    EXPECT_LT((row - weight.dense().row(11)).cwiseAbs().maxCoeff(),
              1e-5F * weight.dense().cwiseAbs().maxCoeff());
    // A row's result does not depend on the rows computed with it.
    Matrix alone(1, 24);
    weight.multiply(x.row(3), alone);
    EXPECT_EQ(alone, Matrix(y.row(3)));
  }
}

TEST_F(LowRanks, RefuseFactorsThatLie) {
  const auto zeros = [](Shape shape) {
    const std::vector<float> values(static_cast<std::size_t>(element_count(shape)));
    return Tensor::from_floats(DType::f32, std::move(shape), values);
  };
  const LowRank weight(dense(5, 32, 1), dense(24, 5, 2));
  const auto refused = [&](const std::string& name, const Tensor& tensor, const std::string& says) {
    save(weight, [&](NamedTensor& stored) {
      if (stored.name == name) stored.tensor = tensor;
    });
    expect_error(ErrorKind::bad_input, says, [&] { load(); });
  };
  refused("m.low_rank_a.weight", zeros({5, 31}), "m.low_rank_a: the weight is [5, 31]");
  refused("m.low_rank_a.weight", zeros({4, 32}), "m.low_rank_a: the weight is [4, 32]");
  refused("m.low_rank_b.weight", zeros({24}), "m.low_rank_b");
  for (const Json& rank : {Json(-1), Json(0), Json(6), Json("5"), Json(std::int64_t{1} << 62)}) {
    save(weight, {}, [&](Json& config) { config["terse_config"]["groups"][0]["rank"] = rank; });
    expect_error(ErrorKind::bad_input, "", [&] { load(); });
  }
  save(weight, {}, [&](Json& config) { config["terse_config"]["groups"][0].erase("rank"); });
  expect_error(ErrorKind::bad_input, "rank", [&] { load(); });
  expect_error(ErrorKind::bad_input, "do not fit",
               [] { LowRank(dense(5, 32, 1), dense(24, 6, 2)); });
}

}  // namespace
}  // namespace terse
