// terse importance, and compressing by the scores that it makes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "apps/files.h"
#include "apps/program.h"
#include "apps/resumable.h"
#include "apps/tiny_model.h"
#include "support/temporary_directory.h"

namespace terse::test {
namespace {

namespace fs = std::filesystem;

class ImportanceVerb : public testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(fs::path(TERSE_PROGRAM).parent_path() / "libterse_train.so")) {
      GTEST_SKIP() << "the training module was not built";
    }
    write_tiny_model(model_);
    write_text(text_, tiny_text(1500));
  }

  ProgramResult score(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{"importance", model_, "-o", scores_, "--text", text_};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_terse(arguments);
  }

  ProgramResult prune(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{"compress", model_,   "-o",    directory_ / "pruned",
                                       "--method", "taylor", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_terse(arguments);
  }

  TemporaryDirectory directory_;
  const fs::path model_ = directory_ / "model";
  const fs::path text_ = directory_ / "notes.txt";
  const fs::path scores_ = directory_ / "scores.safetensors";
};

TEST_F(ImportanceVerb, MakesScoresThatPruningReads) {
  const nlohmann::json report = score({"--window", "100", "--json"}).json();
  EXPECT_EQ(report.at("windows"), 15);
  EXPECT_EQ(report.at("tokens"), 15 * 99);
  EXPECT_EQ(report.at("blocks").size(), 2U);
  EXPECT_EQ(report.at("blocks").at(0).at("heads").at("taylor").size(), 4U);
  EXPECT_EQ(report.at("bytes"), read_parts(scores_).data.size());
  for (const auto& linear : prune({"--importance", scores_}).json().at("linears")) {
    EXPECT_DOUBLE_EQ(linear.at("sparsity").get<double>(), 0.5);
  }
  const ProgramResult text = score({"--force", "--samples", "3", "--window", "50"});
  expect_done(text);
  EXPECT_THAT(text.out, testing::HasSubstr("3 windows of 50 tokens"));
  EXPECT_EQ(read_parts(scores_).header.at("__metadata__").at("windows"), "3");
}

TEST_F(ImportanceVerb, SaysWhatIsWrong) {
  expect_done(score());
  const std::vector<std::string> before = tree(directory_.path());
  expect_refused(score(), 3, {scores_.string(), "--force"});
  expect_refused(run_terse({"importance", model_, "-o", directory_ / "s"}), 2, {"--text"});
  expect_refused(score({"--window", "1", "--force"}), 2, {"--window"});
  expect_refused(score({"--window", "5000", "--force"}), 2, {"5000", "context"});
  expect_refused(score({"--device", "nowhere", "--force"}), 2, {"nowhere"});
  expect_refused(prune(), 2, {"taylor needs importance scores", "terse importance"});
  expect_refused(prune({"--importance", text_}), 3, {text_.string()});
  expect_refused(prune({"--importance", model_ / "model.safetensors"}), 3, {"terse importance"});
  poke(model_ / "model.safetensors", "model.layers.1.mlp.up_proj.weight", 3, 0x3f80);
  expect_refused(prune({"--importance", scores_}), 3,
                 {"model.layers.1.mlp.up_proj", "another model"});
  poke(model_ / "model.safetensors", "model.norm.weight", 3, 0x7f7f);
  expect_refused(score({"--force"}), 1, {"window 1", "not finite"});
  EXPECT_EQ(tree(directory_.path()), before);
}

// An interrupted run goes on with the same scores, and notices others.
TEST_F(ImportanceVerb, InterruptedRunsNoticeOtherScores) {
#ifndef TERSE_FAULT_INJECTION
  GTEST_SKIP() << "faults cannot be injected into a build with sanitizers";
#endif
  ResumableRun pruning({.name = "taylor",
                        .recipe = "steps:\n  - method: taylor\n",
                        .arguments = {"--importance", scores_}});
  const auto make_scores = [&](const std::string& samples) {
    expect_done(run_terse({"importance", pruning.model(), "-o", scores_, "--force", "--tokens",
                           pruning.ids(), "--samples", samples}));
  };
  make_scores("0");
  const std::vector<FileCall> calls = pruning.calls();
  const auto whole = pruning.output();
  std::size_t at = 0;
  for (int saves = 0; at < calls.size() && saves < 3; ++at) {
    saves += calls[at].name == "rename" && calls[at].path.ends_with("journal.json.part") ? 1 : 0;
  }
  const auto interrupt = [&] {
    pruning.reset();
    ASSERT_EQ(pruning.run_into({.what = "kill", .at = at}).code, -SIGKILL);
  };
  interrupt();
  expect_done(pruning.run());
  EXPECT_EQ(pruning.output(), whole);
  interrupt();
  make_scores("1");
  expect_refused(pruning.run(), 3, {"the importance has changed since", "--restart"});
}

}  // namespace
}  // namespace terse::test
