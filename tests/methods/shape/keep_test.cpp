// Which units of a model stay.
#include <gtest/gtest.h>

#include "methods/shape/shown_blocks.h"
#include "support/expect_error.h"
#include "support/family_variants.h"
#include "support/temporary_directory.h"
#include "terse/methods/shape_method.h"

namespace terse {
namespace {

using Given = std::map<std::string, std::string>;

class Keep : public testing::Test {
 protected:
  void SetUp() override {
    test::write_checkpoint(test::family_variant("llama"), directory_.path(), "F32");
    model_.emplace(Model::open(directory_.path()));
  }

  std::vector<KeptBlock> kept(const Given& given) {
    const MethodInfo& info = MethodRegistry::instance().find("keep");
    const auto method = make_shape_method(info, MethodOptions(info, given));
    test::show_blocks(*model_, *method);
    return method->kept(model_->architecture());
  }

  std::vector<std::int64_t> blocks(const Given& given) {
    std::vector<std::int64_t> numbers;
    for (const KeptBlock& block : kept(given)) numbers.push_back(block.block);
    return numbers;
  }

  void expect_refused(const Given& given, const std::string& word) {
    test::expect_error(ErrorKind::usage, word, [&] { kept(given); });
  }

  test::TemporaryDirectory directory_;
  std::optional<Model> model_;
};

TEST_F(Keep, BlocksAreThoseNamedOrSpread) {
  const std::int64_t all = model_->architecture().num_hidden_layers;
  EXPECT_EQ(blocks({{"blocks", "0,1"}}), (std::vector<std::int64_t>{0, 1}));
  EXPECT_EQ(blocks({{"num_hidden_layers", "2"}}), (std::vector<std::int64_t>{0, all - 1}));
  EXPECT_EQ(blocks({{"num_hidden_layers", "1"}}), (std::vector<std::int64_t>{0}));
}

// Norms of units, one by one.
TEST_F(Keep, ChannelsAndHeadsAreThoseOfTheLargestNorm) {
  const Architecture& a = model_->architecture();
  const std::int64_t heads = a.num_attention_heads / 2;
  const auto found =
      kept({{"intermediate_size", "5"}, {"num_attention_heads", std::to_string(heads)}});
  ASSERT_EQ(static_cast<std::int64_t>(found.size()), a.num_hidden_layers);
  model_->load_block(1, false);
  const auto weight = [&](LinearRole role) {
    return model_->block(1).linears.at(role).weight->dense();
  };
  const auto rank = [](const std::vector<double>& norms, std::size_t count) {
    std::vector<double> sorted = norms;
    std::ranges::sort(sorted, std::greater());
    std::vector<std::int64_t> best;
    for (std::size_t i = 0; i < norms.size(); ++i) {
      if (norms[i] >= sorted[count - 1]) best.push_back(static_cast<std::int64_t>(i));
    }
    return best;
  };
  std::vector<double> channels;
  for (std::int64_t i = 0; i < a.intermediate_size; ++i) {
    channels.push_back(weight(LinearRole::gate_proj).row(i).squaredNorm() +
                       weight(LinearRole::up_proj).row(i).squaredNorm() +
                       weight(LinearRole::down_proj).col(i).squaredNorm());
  }
  EXPECT_EQ(found[1].channels, rank(channels, 5));
  std::vector<double> groups;
  const std::int64_t queries = queries_per_key_value_head(a, 0) * a.head_dim;
  for (std::int64_t i = 0; i < a.num_key_value_heads; ++i) {
    groups.push_back(
        weight(LinearRole::q_proj).middleRows(i * queries, queries).squaredNorm() +
        weight(LinearRole::k_proj).middleRows(i * a.head_dim, a.head_dim).squaredNorm() +
        weight(LinearRole::v_proj).middleRows(i * a.head_dim, a.head_dim).squaredNorm() +
        weight(LinearRole::o_proj).middleCols(i * queries, queries).squaredNorm());
  }
  EXPECT_EQ(found[1].key_value_heads,
            rank(groups, static_cast<std::size_t>(heads / queries_per_key_value_head(a, 0))));
}

TEST_F(Keep, RefusesWhatCannotBe) {
  expect_refused({}, "nothing is left out");
  expect_refused({{"blocks", "0"}, {"num_hidden_layers", "1"}}, "leave one out");
  expect_refused({{"blocks", "0,99"}}, "no block 99");
  for (const char* blocks : {"1,0", "0,", "a", "0;1", "0,0", "-1"}) {
    expect_refused({{"blocks", blocks}}, "expected rising numbers");
  }
  expect_refused({{"num_hidden_layers", "99"}}, "where the model has");
  expect_refused({{"intermediate_size", "99999"}}, "where block 0 has");
}

}  // namespace
}  // namespace terse
