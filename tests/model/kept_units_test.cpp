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
    test::write_checkpoint(GetParam().checkpoint, directory_.path(), "F32");
    model_.emplace(Model::load(directory_.path()));
  }

  const Architecture& a() const { return model_->architecture(); }

  // All blocks with these units.
  std::vector<KeptBlock> all_blocks(const Units& heads, const Units& channels) const {
    std::vector<KeptBlock> kept;
    for (std::int64_t b = 0; b < a().num_hidden_layers; ++b) kept.push_back({b, heads, channels});
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

  template <class T>
  static bool varies(const std::vector<T>& by_block) {
    return std::ranges::adjacent_find(by_block, std::not_equal_to()) != by_block.end();
  }

  void expect_same(const Matrix& found, const Matrix& expected) {
    ASSERT_EQ(found.rows(), expected.rows());
    EXPECT_LT((found - expected).cwiseAbs().maxCoeff(), 1e-4F * expected.cwiseAbs().maxCoeff());
  }

  test::TemporaryDirectory directory_;
  std::optional<Model> model_;
};

class KeptHeads : public KeptUnits {};
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
  if (!a().rotary || a().family == "gpt_neox") {
    test::expect_error(ErrorKind::usage, "cannot say", [&] { keep_units(*model_, kept); });
    return;
  }
  silence(LinearRole::o_proj, left * queries_per_key_value_head(a()) * a().head_dim);
  expect_same(logits_of_kept(kept), logits(*model_));
}

TEST_P(KeptBlocks, ThatAddNothingCanGo) {
  std::vector<KeptBlock> kept;
  for (std::int64_t b = 1; b < a().num_hidden_layers; ++b) kept.push_back({b});
  for (const LinearRole role : {LinearRole::o_proj, LinearRole::down_proj}) {
    Linear& linear = model_->block(0).linears.at(role);
    replace(linear, Matrix::Zero(linear.weight->rows(), linear.weight->columns()));
    linear.bias.setZero();
  }
  if (varies(a().sliding_window) || varies(a().attention_scale)) {
    // Where they follow from the number of the block, no config says what those that stay had.
    if (!model_->checkpoint().config().contains("layer_types")) {
      test::expect_error(ErrorKind::usage, "cannot say", [&] { keep_units(*model_, kept); });
      return;
    }
  }
  expect_same(logits_of_kept(kept), logits(*model_));
}

template <class Which>
std::vector<test::FamilyVariant> variants(const Which& which) {
  std::vector<test::FamilyVariant> some;
  for (const test::FamilyVariant& each : test::family_variants()) {
    if (which(parse_architecture(each.checkpoint.config))) some.push_back(each);
  }
  return some;
}

std::string name_of(const testing::TestParamInfo<test::FamilyVariant>& tested) {
  return tested.param.name;
}

bool has_heads_to_spare(const Architecture& a) {
  return a.num_key_value_heads > 1;
}

// A block whose norms follow the sums always does something.
bool has_blocks_that_can_add_nothing(const Architecture& a) {
  return !a.norm_after;
}

INSTANTIATE_TEST_SUITE_P(, KeptUnits, testing::ValuesIn(test::family_variants()), name_of);
INSTANTIATE_TEST_SUITE_P(, KeptHeads, testing::ValuesIn(variants(has_heads_to_spare)), name_of);
INSTANTIATE_TEST_SUITE_P(, KeptBlocks, testing::ValuesIn(variants(has_blocks_that_can_add_nothing)),
                         name_of);

}  // namespace
}  // namespace terse
