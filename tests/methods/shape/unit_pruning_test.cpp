// Which heads and channels go, against the papers' formulas computed from the activations.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "methods/shape/shown_blocks.h"
#include "support/expect_error.h"
#include "support/family_variants.h"
#include "support/temporary_directory.h"
#include "terse/model/inventory.h"

namespace terse {
namespace {

using Given = std::map<std::string, std::string>;
using Units = std::vector<std::int64_t>;

class UnitPruningTest : public testing::Test {
 protected:
  void SetUp() override {
    test::write_checkpoint(test::family_variant("llama_grouped"), directory_.path(), "F32");
    model_.emplace(Model::open(directory_.path()));
  }

  const Architecture& a() const { return model_->architecture(); }

  std::vector<KeptBlock> kept(const std::string& name, const Given& given) {
    const MethodInfo& info = MethodRegistry::instance().find(name);
    const auto method = make_shape_method(info, MethodOptions(info, given));
    test::show_blocks(*model_, *method, tokens_);
    return method->kept(a());
  }

  void expect_refused(const std::string& name, const Given& given, const std::string& word) {
    test::expect_error(ErrorKind::usage, word, [&] { kept(name, given); });
  }

  // Inputs of a stage of a block, and the weight that reads them.
  Matrix inputs(std::int64_t block, Stage stage) {
    Model model = Model::load(directory_.path());
    KeyValueCache cache(a(), static_cast<std::int64_t>(tokens_.size()), false);
    Batch batch;
    batch.add(cache, tokens_);
    CpuOperations operations(model, batch);
    Forward forward(a(), operations);
    Matrix hidden = forward.embed();
    for (std::int64_t b = 0; b < block; ++b) hidden = forward.block(b, std::move(hidden));
    auto state = forward.begin(block, std::move(hidden));
    for (const Stage each : kStages) {
      if (each == stage) return state.input;
      state = forward.advance(block, each, std::move(state));
    }
    return {};
  }

  Matrix weight(std::int64_t block, LinearRole role) {
    Model model = Model::load(directory_.path());
    return model.block(block).linears.at(role).weight->dense();
  }

  static Units best(const std::vector<double>& scores, std::int64_t count) {
    Units order(scores.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::sort(order, [&](std::int64_t x, std::int64_t y) {
      return scores[static_cast<std::size_t>(x)] > scores[static_cast<std::size_t>(y)];
    });
    order.resize(static_cast<std::size_t>(count));
    std::ranges::sort(order);
    return order;
  }

  test::TemporaryDirectory directory_;
  std::optional<Model> model_;
  std::vector<std::int32_t> tokens_ = test::some_tokens(40, 67);
};

TEST_F(UnitPruningTest, WandaAddsUpWeightsTimesNorms) {
  const Matrix x = inputs(1, Stage::mlp_output);
  const Matrix w = weight(1, LinearRole::down_proj);
  std::vector<double> scores;
  for (std::int64_t c = 0; c < w.cols(); ++c) {
    scores.push_back(w.col(c).cwiseAbs().sum() * x.col(c).norm());
  }
  const auto found = kept("wanda_sp", {{"intermediate_size", "9"}});
  EXPECT_EQ(found[1].channels, best(scores, 9));
}

TEST_F(UnitPruningTest, FlapTakesVariancesOverTokens) {
  const Matrix x = inputs(0, Stage::attention_output);
  const Matrix w = weight(0, LinearRole::o_proj);
  const std::int64_t width = w.cols() / a().num_key_value_heads;
  std::vector<double> scores(static_cast<std::size_t>(a().num_key_value_heads));
  for (std::int64_t c = 0; c < w.cols(); ++c) {
    const auto centred = x.col(c).array() - x.col(c).mean();
    scores[static_cast<std::size_t>(c / width)] += centred.square().mean() * w.col(c).squaredNorm();
  }
  const std::int64_t heads = a().num_attention_heads / 2;
  const auto found = kept("flap", {{"num_attention_heads", std::to_string(heads)}});
  EXPECT_EQ(found[0].key_value_heads, best(scores, a().num_key_value_heads / 2));
}

TEST_F(UnitPruningTest, TheShareIsReached) {
  const double all = static_cast<double>(take_inventory(*model_).parameters);
  double in_blocks = 0;
  for (std::int64_t b = 0; b < a().num_hidden_layers; ++b) {
    for (const LinearRole role : a().roles(b)) {
      in_blocks += static_cast<double>(a().in_features(b, role) * a().out_features(b, role));
    }
  }
  const double unit = static_cast<double>(3 * a().hidden_size * a().num_hidden_layers);
  for (const char* method : {"flap", "wanda_sp", "magnitude_sp", "random_sp"}) {
    for (const char* allocation : {"uniform", "adaptive"}) {
      for (const double ratio : {0.2, 0.4}) {
        const auto found = kept(method, {{"ratio", std::to_string(ratio)},
                                         {"allocation", allocation},
                                         {"units", "channels"},
                                         {"multiple", "1"}});
        const Model smaller(std::make_shared<const Checkpoint>(keep_units(*model_, found)));
        const double left = static_cast<double>(take_inventory(smaller).parameters);
        EXPECT_NEAR(all - left, ratio * in_blocks, unit) << method << " " << allocation;
      }
    }
  }
}

TEST_F(UnitPruningTest, BlocksThatVaryLessLoseMore) {
  const auto found = kept("flap", {{"ratio", "0.4"}, {"multiple", "1"}});
  std::set<std::size_t> widths;
  for (const KeptBlock& block : found) {
    widths.insert(block.channels ? block.channels->size() : 0);
  }
  EXPECT_GT(widths.size(), 1U);
}

TEST_F(UnitPruningTest, LotsDifferBySeedAlone) {
  const Given given = {{"ratio", "0.4"}, {"draw", "1"}};
  EXPECT_EQ(kept("random_sp", given), kept("random_sp", given));
  EXPECT_NE(kept("random_sp", given), kept("random_sp", {{"ratio", "0.4"}, {"draw", "2"}}));
}

TEST_F(UnitPruningTest, Refused) {
  expect_refused("flap", {{"intermediate_size", "100000"}}, "intermediate_size 100000, where");
  expect_refused("flap", {{"num_attention_heads", "3"}}, "expected a multiple");
  expect_refused("flap", {{"ratio", "0.99"}}, "at most");
  expect_refused("flap", {{"ratio", "0.3"}, {"intermediate_size", "9"}}, "leave one out");
}

}  // namespace
}  // namespace terse
