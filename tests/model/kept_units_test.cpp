// A model made of units of another: units that add nothing can go, for every family.
#include "terse/model/kept_units.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "support/expect_error.h"
#include "support/family_variants.h"
#include "support/logits.h"
#include "support/temporary_directory.h"
#include "terse/model/weights/dense.h"

namespace terse {
namespace {

using Units = std::vector<std::int64_t>;

Units first(std::int64_t count) {
  Units units(static_cast<std::size_t>(count));
  std::iota(units.begin(), units.end(), 0);
  return units;
}

class KeptUnits : public testing::TestWithParam<test::FamilyVariant> {
 protected:
  void SetUp() override {
    test::write_checkpoint(GetParam().checkpoint(), directory_.path(), "F32");
    model_.emplace(Model::load(directory_.path()));
  }

  const Architecture& a() const { return model_->architecture(); }

  // All blocks with these units.
  std::vector<KeptBlock> all_blocks(const KeptBlock::Units& heads,
                                    const KeptBlock::Units& channels) const {
    std::vector<KeptBlock> kept;
    for (std::int64_t b = 0; b < a().num_hidden_layers; ++b) {
      kept.push_back({b, heads, {}, channels});
    }
    return kept;
  }

  static Matrix logits(const Model& model) {
    return test::logits_of(model, {test::some_tokens(23, model.architecture().vocab_size)});
  }

  Matrix logits_of_kept(const std::vector<KeptBlock>& kept) const {
    Model smaller(std::make_shared<const Checkpoint>(keep_units(*model_, kept)));
    smaller.load_all();
    return logits(smaller);
  }

  // Columns [from, end) of a linear of every block add nothing.
  void silence(LinearRole role, std::int64_t from) {
    for (std::int64_t b = 0; b < a().num_hidden_layers; ++b) {
      Linear& linear = model_->block(b).linears.at(role);
      Matrix weight = linear.weight->dense();
      weight.rightCols(weight.cols() - from).setZero();
      replace(linear, weight);
    }
  }

  static void replace(Linear& linear, const Matrix& weight) {
    linear.weight = std::make_shared<DenseWeight>(weight, DType::f32);
    linear.weight->prepare();
  }

  void expect_same(const Matrix& found, const Matrix& expected) {
    ASSERT_EQ(found.rows(), expected.rows());
    EXPECT_LT((found - expected).cwiseAbs().maxCoeff(), 1e-4F * expected.cwiseAbs().maxCoeff());
  }

  test::TemporaryDirectory directory_;
  std::optional<Model> model_;
};

class KeptHeads : public KeptUnits {};
class KeptQueries : public KeptUnits {};
class KeptBlocks : public KeptUnits {};

TEST_P(KeptUnits, EverythingKeptIsTheModel) {
  const auto kept = all_blocks(first(a().num_key_value_heads), first(a().intermediate_size));
  const Checkpoint same = keep_units(*model_, kept);
  EXPECT_EQ(same.config(), model_->checkpoint().config());
  ASSERT_EQ(same.names(), model_->checkpoint().names());
  for (const std::string& name : same.names()) {
    EXPECT_TRUE(
        std::ranges::equal(same.tensor(name).bytes(), model_->checkpoint().tensor(name).bytes()))
        << name;
  }
}

TEST_P(KeptUnits, ChannelsThatAddNothingCanGo) {
  const std::int64_t left = a().intermediate_size / 2;
  silence(LinearRole::down_proj, left);
  expect_same(logits_of_kept(all_blocks({}, first(left))), logits(*model_));
}

TEST_P(KeptHeads, ThatAddNothingCanGo) {
  const std::int64_t left = a().num_key_value_heads / 2;
  const auto kept = all_blocks(first(left), {});
  silence(LinearRole::o_proj, left * queries_per_key_value_head(a(), 0) * a().head_dim);
  expect_same(logits_of_kept(kept), logits(*model_));
}

TEST_P(KeptQueries, OneOfEachGroupThatAddsNothingCanGo) {
  const std::int64_t per_head = queries_per_key_value_head(a(), 0);
  Units queries;
  for (std::int64_t b = 0; b < a().num_hidden_layers; ++b) {
    Linear& linear = model_->block(b).linears.at(LinearRole::o_proj);
    Matrix weight = linear.weight->dense();
    for (std::int64_t head = 0; head < a().num_attention_heads; ++head) {
      if (head % per_head == 0) {
        weight.middleCols(head * a().head_dim, a().head_dim).setZero();
      } else if (b == 0) {
        queries.push_back(head);
      }
    }
    replace(linear, weight);
  }
  std::vector<KeptBlock> kept;
  for (std::int64_t b = 0; b < a().num_hidden_layers; ++b) kept.push_back({b, {}, queries});
  expect_same(logits_of_kept(kept), logits(*model_));
}

// Blocks of different shapes, of which no family's config can speak.
TEST_P(KeptUnits, BlocksMayDiffer) {
  const std::int64_t left = a().intermediate_size / 2;
  const auto silent = [&](LinearRole role, std::int64_t from) {
    Linear& linear = model_->block(1).linears.at(role);
    Matrix weight = linear.weight->dense();
    weight.rightCols(weight.cols() - from).setZero();
    replace(linear, weight);
    if (from == 0) linear.bias.setZero();
  };
  silent(LinearRole::down_proj, left);
  silent(LinearRole::o_proj, 0);
  std::vector<KeptBlock> kept = all_blocks({}, {});
  kept[1].channels = first(left);
  kept[1].key_value_heads = Units();
  const Checkpoint smaller = keep_units(*model_, kept);
  EXPECT_EQ(parse_architecture(smaller.config()).shape(1), (BlockShape{0, 0, left}));
  EXPECT_EQ(parse_architecture(smaller.config()).shape(0), a().shape(0));
  expect_same(logits_of_kept(kept), logits(*model_));
}

TEST_P(KeptUnits, AnMlpThatAddsNothingCanGo) {
  silence(LinearRole::down_proj, 0);
  for (std::int64_t b = 0; b < a().num_hidden_layers; ++b) {
    model_->block(b).linears.at(LinearRole::down_proj).bias.setZero();
  }
  expect_same(logits_of_kept(all_blocks({}, Units())), logits(*model_));
}

TEST_P(KeptUnits, AreReadAsTheyAreWritten) {
  const std::vector<KeptBlock> kept = {{2, Units{0, 1}, {}, Units()}, {5, {}, Units{3}, {}}};
  EXPECT_EQ(parse_kept_blocks(parse_json(to_json(kept).dump())), kept);
}

TEST_P(KeptBlocks, ThatAddNothingCanGo) {
  std::vector<KeptBlock> kept;
  for (std::int64_t b = 1; b < a().num_hidden_layers; ++b) kept.push_back({b});
  for (const LinearRole role : {LinearRole::o_proj, LinearRole::down_proj}) {
    Linear& linear = model_->block(0).linears.at(role);
    replace(linear, Matrix::Zero(linear.weight->rows(), linear.weight->columns()));
    linear.bias.setZero();
  }
  expect_same(logits_of_kept(kept), logits(*model_));
}

template <class Which>
std::vector<test::FamilyVariant> variants(const Which& which) {
  std::vector<test::FamilyVariant> some;
  for (const test::FamilyVariant& each : test::dense_family_variants()) {
    if (which(parse_architecture(each.config))) some.push_back(each);
  }
  return some;
}

std::string name_of(const testing::TestParamInfo<test::FamilyVariant>& tested) {
  return tested.param.name;
}

bool has_heads_to_spare(const Architecture& a) {
  return a.num_key_value_heads > 1;
}

bool has_queries_to_spare(const Architecture& a) {
  return a.num_attention_heads > a.num_key_value_heads;
}

// A block whose norms follow the sums always does something.
bool has_blocks_that_can_add_nothing(const Architecture& a) {
  return !a.norm_after;
}

INSTANTIATE_TEST_SUITE_P(, KeptUnits, testing::ValuesIn(test::dense_family_variants()), name_of);
INSTANTIATE_TEST_SUITE_P(, KeptHeads, testing::ValuesIn(variants(has_heads_to_spare)), name_of);
INSTANTIATE_TEST_SUITE_P(, KeptQueries, testing::ValuesIn(variants(has_queries_to_spare)), name_of);
INSTANTIATE_TEST_SUITE_P(, KeptBlocks, testing::ValuesIn(variants(has_blocks_that_can_add_nothing)),
                         name_of);

}  // namespace
}  // namespace terse
