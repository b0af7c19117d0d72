// Recipes that take weights apart: what they write for every family, in which order steps may
// follow, and what is refused.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>

#include "support/expect_error.h"
#include "support/family_variants.h"
#include "support/logits.h"
#include "support/temporary_directory.h"
#include "terse/core/file.h"
#include "terse/core/threads.h"
#include "terse/model/inventory.h"
#include "terse/recipe/compress.h"
#include "terse/recipe/plan.h"
#include "terse/recipe/recipe_text.h"

namespace terse {
namespace {

namespace fs = std::filesystem;
using test::expect_error;

class LowRankRecipes : public testing::TestWithParam<test::FamilyVariant> {
 protected:
  void SetUp() override {
    test::write_checkpoint(checkpoint(), directory_ / "in", "F32");
    Json ids = Json::array();
    for (int i = 0; i < 400; ++i) ids.push_back((i * i + 5 * i) % 67);
    write_file(directory_ / "ids.json", ids.dump());
  }

  virtual test::RandomCheckpoint checkpoint() const { return GetParam().checkpoint(); }

  Recipe recipe(const std::string& steps) const {
    return parse_recipe("calibration: {tokens: " + (directory_ / "ids.json").string() +
                            ", window: 12}\nsteps:\n" + steps,
                        "test.yaml");
  }

  CompressionReport run(const std::string& name, const Recipe& recipe) const {
    Progress silent;
    return compress(directory_ / "in", directory_ / name, recipe, {.force = true}, silent);
  }

  Matrix logits(const std::string& name) const {
    return test::logits_of(Model::load(directory_ / name), {test::some_tokens(16, 67)});
  }

  std::string kind_of(const std::string& name, LinearRole role) const {
    const Model model = Model::open(directory_ / name);
    return model.stored_kind(model.linear_module(1, role), "Linear");
  }

  test::TemporaryDirectory directory_;
};

TEST_P(LowRankRecipes, AllTermsLeaveTheModelAsItWas) {
  const Matrix before = logits("in");
  const Model model = Model::open(directory_ / "in");
  const Architecture& a = model.architecture();
  for (const char* method : {"svd", "svd_llm"}) {
    std::string steps;
    for (const auto& entry : a.linears) {
      const LinearRole role = entry.first;
      steps +=
          fmt::format("- {{method: {}, rank: {}, targets: [{}]}}\n", method,
                      std::min(a.in_features(0, role), a.out_features(0, role)), role_name(role));
    }
    run("full", recipe(steps));
    EXPECT_TRUE(kind_of("full", LinearRole::down_proj).starts_with("rank "));
    EXPECT_LT((logits("full") - before).cwiseAbs().maxCoeff(), 1e-4F * before.cwiseAbs().maxCoeff())
        << method;
  }
}

TEST_P(LowRankRecipes, RunLikeTheirDenseTwin) {
  const Matrix before = logits("in");
  const float largest = before.cwiseAbs().maxCoeff();
  Recipe half = recipe("- {method: svd_llm, ratio: 0.5}\n");
  run("half", half);
  EXPECT_GT((logits("half") - before).cwiseAbs().maxCoeff(), 1e-3F * largest);
  half.output.dequantize = true;
  run("plain", half);
  const Checkpoint plain = Checkpoint::open(directory_ / "plain");
  EXPECT_FALSE(has_key(plain.config(), "terse_config"));
  EXPECT_EQ(plain.names(), Checkpoint::open(directory_ / "in").names());
  EXPECT_LT((logits("plain") - logits("half")).cwiseAbs().maxCoeff(), 1e-4F * largest);
}

// Factors are quantised as linears of their own; what was stored reads back.
TEST_P(LowRankRecipes, FactorsAreQuantised) {
  run("out", recipe("- {method: svd_llm, rank: 8}\n- {method: gptq, bits: 4, group_size: 4}\n"));
  EXPECT_EQ(kind_of("out", LinearRole::down_proj), "rank 8 4 bits group 4");
  EXPECT_TRUE(logits("out").allFinite());
}

INSTANTIATE_TEST_SUITE_P(Families, LowRankRecipes, testing::ValuesIn(test::dense_family_variants()),
                         [](const auto& tested) { return tested.param.name; });

class LowRankRecipe : public LowRankRecipes {
 protected:
  test::RandomCheckpoint checkpoint() const override { return test::family_variant("llama"); }
  static constexpr const char* kSvd = "- {method: svd_llm, rank: 8}\n";
};

TEST_F(LowRankRecipe, IsTheSameOnAnyNumberOfThreads) {
  const int before = thread_count();
  std::string first;
  for (const int threads : {1, 2, 3, 5}) {
    set_thread_count(threads);
    run("out", recipe(std::string(kSvd) + "- {method: gptq, bits: 3, group_size: 4}\n"));
    const std::string bytes = read_file(directory_ / "out" / "model.safetensors");
    if (first.empty()) first = bytes;
    EXPECT_EQ(bytes, first) << threads;
  }
  set_thread_count(before);
}

TEST_F(LowRankRecipe, FactorsArePruned) {
  run("out", recipe(std::string(kSvd) +
                    "- {method: wanda, sparsity: 0.5}\n- {method: rtn, bits: 4, group_size: 4}\n"));
  Model model = Model::load(directory_ / "out");
  EXPECT_TRUE(model.block(0)
                  .linears.at(LinearRole::q_proj)
                  .weight->kind()
                  .starts_with("rank 8 4 bits group 4"));
  run("sparse", recipe(std::string(kSvd) + "- {method: sparsegpt, structure: \"2:4\"}\n"));
  EXPECT_EQ(kind_of("sparse", LinearRole::q_proj), "rank 8 float32 2:4");
}

TEST_F(LowRankRecipe, OthersMayBeTakenApartOtherwise) {
  run("out", recipe("- {method: svd, rank: 4, targets: [attention]}\n"
                    "- {method: lqer, rank: 2, bits: 3, group_size: 4, targets: [mlp]}\n"));
  EXPECT_EQ(kind_of("out", LinearRole::q_proj), "rank 4 float32");
  EXPECT_EQ(kind_of("out", LinearRole::up_proj), "3 bits group 4 + rank 2");
  EXPECT_TRUE(logits("out").allFinite());
}

TEST_F(LowRankRecipe, TheReportAndThePlanCountTheFactors) {
  const Recipe half = recipe("- {method: svd_llm, ratio: 0.5, multiple: 1}\n");
  const CompressionReport report = run("out", half);
  EXPECT_LT(report.linear_bits_per_weight, 16.1);
  EXPECT_GT(report.linear_bits_per_weight, 14);
  for (const LinearReport& linear : report.linears) {
    EXPECT_GT(linear.relative_weight_error, 0) << linear.module;
    EXPECT_GT(linear.relative_output_error.value(), 0) << linear.module;
  }
  const Plan planned = plan(directory_ / "in", half, 0, directory_.path());
  const Inventory after = take_inventory(Model::open(directory_ / "out"));
  EXPECT_NEAR(static_cast<double>(planned.bytes), static_cast<double>(after.bytes),
              0.02 * static_cast<double>(after.bytes));
}

// Ranks are given before the pass; what stays whole and what is taken apart goes through later
// steps alike.
TEST_F(LowRankRecipe, SharesOneRatioOut) {
  for (const char* method : {"svd", "svd_llm"}) {
    run("out", recipe(fmt::format("- {{method: {}, ratio: 0.6, allocation: energy, multiple: 1}}\n",
                                  method)));
    const Model before = Model::open(directory_ / "in");
    const Model after = Model::open(directory_ / "out");
    const auto saved = static_cast<double>(take_inventory(before).bytes) -
                       static_cast<double>(take_inventory(after).bytes);
    double linears = 0;
    std::set<std::string> kinds;
    for (std::int64_t block = 0; block < before.architecture().num_hidden_layers; ++block) {
      for (const auto& [role, names] : before.architecture().linears) {
        linears += static_cast<double>(before.architecture().out_features(0, role) *
                                       before.architecture().in_features(0, role));
        kinds.insert(after.stored_kind(after.linear_module(block, role), "Linear"));
      }
    }
    EXPECT_GE(saved / (4 * linears), 0.4 - 1e-9) << method;
    EXPECT_LE(saved / (4 * linears), 0.45) << method;
    EXPECT_GE(kinds.size(), 3U) << method;
  }
  run("quantised", recipe("- {method: svd, ratio: 0.9, allocation: energy, multiple: 4}\n"
                          "- {method: rtn, bits: 4, group_size: 4}\n"));
  EXPECT_TRUE(logits("quantised").allFinite());
  expect_error(ErrorKind::usage, "an allocation shares the ratio out", [&] {
    run("refused",
        recipe("- {method: svd, ratio: {default: 0.9, mlp: 0.7}, allocation: energy}\n"));
  });
}

// Where nothing was lost before a linear it is what it is without the update; where something was,
// it makes up for that.
TEST_F(LowRankRecipe, TheUpdateMakesUpForWhatBlocksBeforeLost) {
  for (const bool sequential : {true, false}) {
    const auto difference = [&](const std::string& ratios) {
      const auto weight = [&](const std::string& update) {
        Recipe made = recipe(fmt::format(
            "- {{method: svd_llm, ratio: {}, multiple: 1, update: {}}}\n", ratios, update));
        made.true_sequential = sequential;
        run("out", made);
        Model model = Model::load(directory_ / "out");
        return model.block(1).linears.at(LinearRole::q_proj).weight->dense();
      };
      const Matrix plain = weight("false");
      return (weight("true") - plain).norm() / plain.norm();
    };
    EXPECT_LT(difference("{default: 0.5, \"blocks 0\": 1}"), 1e-4F) << sequential;
    EXPECT_GT(difference("0.5"), 1e-2F) << sequential;
  }
}

// A second stream and what it is compared by are counted, and whatever is spilled changes nothing.
TEST_F(LowRankRecipe, TheUpdateIsPlanned) {
  const Recipe updated = recipe(kSvd);
  const Recipe plain = recipe("- {method: svd_llm, rank: 8, update: false}\n");
  const Plan more = plan(directory_ / "in", updated, 0, directory_.path());
  const Plan less = plan(directory_ / "in", plain, 0, directory_.path());
  EXPECT_EQ(more.memory.activations, 2 * less.memory.activations);
  EXPECT_GT(more.memory.statistics, less.memory.statistics);
  EXPECT_GT(more.memory.block, less.memory.block);
  run("held", updated);
  Progress silent;
  compress(directory_ / "in", directory_ / "spilled", updated,
           {.force = true, .memory = more.memory.without_activations() + 1}, silent);
  EXPECT_EQ(read_file(directory_ / "held" / "model.safetensors"),
            read_file(directory_ / "spilled" / "model.safetensors"));
}

TEST_F(LowRankRecipe, RefusesWhatCannotFollow) {
  const auto refused = [&](const std::string& steps, const std::string& says) {
    expect_error(ErrorKind::usage, says, [&] { run("refused", recipe(steps)); });
    EXPECT_FALSE(fs::exists(directory_ / "refused"));
  };
  const std::string svd = kSvd;
  refused("- {method: magnitude}\n" + svd, "would fill the zeros");
  refused("- {method: magnitude}\n- {method: lqer, rank: 2, group_size: 4}\n",
          "would fill the zeros");
  refused("- {method: rtn, group_size: 4}\n" + svd, "comes after rtn has quantised it");
  refused(svd + "- {method: svd}\n", "both change it");
  refused(svd + "- {method: rtn, group_size: 4, remeasure: true}\n", "has taken it apart");
  refused(svd + "- {method: rtn, group_size: 4, activations: static}\n", "ranges of the inputs");
  refused(svd + "- {method: rtn, group_size: 16}\n", "group");
  refused("- {method: svd, rank: 4000}\n", "above the full rank");
  refused("- {method: smoothquant}\n" + svd, "which smoothquant scales; set remeasure");
}

}  // namespace
}  // namespace terse
