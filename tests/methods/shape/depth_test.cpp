// Which blocks and halves of blocks go.
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "methods/shape/shown_blocks.h"
#include "support/expect_error.h"
#include "support/family_variants.h"
#include "support/temporary_directory.h"

namespace terse {
namespace {

using Given = std::map<std::string, std::string>;

// A residual stream of two features through blocks, shown as it is.
class DepthTest : public testing::Test {
 protected:
  static Architecture four_blocks() {
    return parse_architecture({{"model_type", "llama"},
                               {"vocab_size", 8},
                               {"hidden_size", 2},
                               {"intermediate_size", 4},
                               {"num_hidden_layers", 4},
                               {"num_attention_heads", 1},
                               {"head_dim", 2},
                               {"max_position_embeddings", 64}});
  }

  static Matrix angles(const std::vector<double>& tokens) {
    Matrix rows(static_cast<std::int64_t>(tokens.size()), 2);
    for (std::size_t t = 0; t < tokens.size(); ++t) {
      rows(static_cast<std::int64_t>(t), 0) = static_cast<float>(2.0 * std::cos(tokens[t]));
      rows(static_cast<std::int64_t>(t), 1) = static_cast<float>(2.0 * std::sin(tokens[t]));
    }
    return rows;
  }

  // Angles of tokens at the block boundaries; windows of two tokens.
  static std::vector<std::int64_t> left(const std::string& name, const Given& given,
                                        const std::vector<std::vector<double>>& stream) {
    const MethodInfo& info = MethodRegistry::instance().find(name);
    const auto method = make_shape_method(info, MethodOptions(info, given));
    for (std::size_t b = 0; b + 1 < stream.size(); ++b) {
      method->look_at(
          BlockFlow{static_cast<std::int64_t>(b), angles(stream[b]), angles(stream[b + 1]), 2});
    }
    std::vector<std::int64_t> blocks;
    for (const KeptBlock& block : method->kept(four_blocks())) blocks.push_back(block.block);
    return blocks;
  }
};

// Blocks turn by 0.3, 0.1, 0.2 and 0.4 on average.
TEST_F(DepthTest, BlocksOfLeastInfluenceGo) {
  const std::vector<std::vector<double>> stream = {
      {0, 0}, {0.3, 0.3}, {0.4, 0.4}, {0.6, 0.6}, {1.0, 1.0}};
  EXPECT_EQ(left("shortgpt", {{"num_hidden_layers", "3"}}, stream),
            (std::vector<std::int64_t>{0, 2, 3}));
  EXPECT_EQ(left("shortgpt", {{"ratio", "0.5"}}, stream), (std::vector<std::int64_t>{0, 3}));
}

// The last tokens turn there and back in blocks 2 and 3; the first tokens do not count.
TEST_F(DepthTest, TheRunOverWhichTheStreamTurnsLeastGoes) {
  const std::vector<std::vector<double>> stream = {{0, 0}, {0, 0.3}, {0, 0.9}, {1, 1.5}, {3, 0.95}};
  EXPECT_EQ(left("angular", {{"num_hidden_layers", "2"}}, stream),
            (std::vector<std::int64_t>{0, 1}));
}

TEST_F(DepthTest, Refused) {
  test::expect_error(ErrorKind::usage, "the nearest that can go are 1", [] {
    left("shortgpt", {{"ratio", "0.01"}}, {});
  });
  test::expect_error(ErrorKind::usage, "where the model has 4", [] {
    left("angular", {{"num_hidden_layers", "9"}}, {});
  });
}

// Loss is what the test says of each part.
class PartLosses : public Evaluator {
 public:
  explicit PartLosses(std::map<std::pair<std::int64_t, bool>, double> losses)
      : losses_(std::move(losses)) {}

  double loss(const Model& model) override {
    ++asked;
    double sum = 0;
    const Architecture& a = model.architecture();
    for (const auto& [part, loss] : losses_) {
      const bool there = part.second ? a.has_attention(part.first) : a.has_mlp(part.first);
      if (!there) sum += loss;
    }
    return sum;
  }

  std::int64_t asked = 0;

 private:
  std::map<std::pair<std::int64_t, bool>, double> losses_;
};

TEST(BlockPrunerTest, PartsThatAreMissedLeastGo) {
  test::TemporaryDirectory directory;
  test::write_checkpoint(test::family_variant("llama"), directory.path(), "F32");
  const Model model = Model::load(directory.path());
  std::map<std::pair<std::int64_t, bool>, double> losses;
  for (std::int64_t b = 0; b < model.architecture().num_hidden_layers; ++b) {
    losses[{b, true}] = 5.0;
    losses[{b, false}] = 4.0;
  }
  losses[{1, true}] = 1.0;
  losses[{0, false}] = 0.5;
  PartLosses evaluator(losses);
  const MethodInfo& info = MethodRegistry::instance().find("block_pruner");
  const auto kept =
      make_shape_method(info, MethodOptions(info, {{"ratio", "0.4"}}))->kept(model, evaluator);
  ASSERT_GE(kept.size(), 2U);
  EXPECT_EQ(kept[0].channels, std::vector<std::int64_t>());
  EXPECT_FALSE(kept[0].key_value_heads);
  EXPECT_EQ(kept[1].key_value_heads, std::vector<std::int64_t>());
  EXPECT_GT(evaluator.asked, model.architecture().num_hidden_layers);
  EXPECT_LE(evaluator.asked, make_shape_method(info, MethodOptions(info, {{"ratio", "0.4"}}))
                                 ->most_evaluations(model.architecture()));
  test::expect_error(ErrorKind::usage, "nearest", [&] {
    make_shape_method(info, MethodOptions(info, {{"ratio", "0.001"}}))->kept(model, evaluator);
  });
}

}  // namespace
}  // namespace terse
