// The verbs on a model with experts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/files.h"
#include "apps/program.h"
#include "apps/tiny_model.h"
#include "support/temporary_directory.h"

namespace terse::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class ExpertVerbs : public testing::Test {
 protected:
  ExpertVerbs() {
    nlohmann::json config = tiny_config();
    config.update({{"model_type", "qwen3_moe"},
                   {"moe_intermediate_size", 64},
                   {"num_experts", 4},
                   {"num_experts_per_tok", 2},
                   {"mlp_only_layers", {1}}});
    write_tiny_model(model(), config);
    write_text(text(), tiny_text(3000));
  }

  fs::path model() const { return directory_ / "model"; }
  fs::path text() const { return directory_ / "text.txt"; }

  TemporaryDirectory directory_;
};

TEST_F(ExpertVerbs, InspectCountsExperts) {
  const nlohmann::json json = run_terse({"inspect", model(), "--json"}).json();
  EXPECT_EQ(json.at("num_experts"), 4);
  EXPECT_EQ(json.at("num_experts_per_tok"), 2);
  EXPECT_EQ(json.at("blocks").at(0).at("num_experts"), 4);
  EXPECT_EQ(json.at("blocks").at(1).at("num_experts"), 0);
  EXPECT_EQ(json.at("blocks").at(1).at("intermediate_size"), 256);
  std::int64_t parameters = 0;
  std::int64_t up = 0;
  for (const auto& role : json.at("roles")) {
    if (role.at("role") == "up_proj") up = role.at("count");
    if (role.at("role") == "router") parameters = role.at("parameters");
  }
  EXPECT_EQ(parameters, 4 * 128);
  EXPECT_EQ(up, 5);
  const ProgramResult words = run_terse({"inspect", model()});
  expect_done(words);
  EXPECT_THAT(words.out, HasSubstr("4 experts, of which each token takes 2"));
}

TEST_F(ExpertVerbs, CompressRunAndEvaluate) {
  expect_done(run_terse({"compress", model(), "-o", directory_ / "w4", "--method", "gptq", "--bits",
                         "4", "--group-size", "32", "--calibration-text", text(),
                         "--calibration-samples", "8", "--calibration-window", "64"}));
  const ProgramResult scored =
      run_terse({"eval", "divergence", model(), directory_ / "w4", "--text", text(), "--json"});
  expect_done(scored);
  EXPECT_LT(scored.json().at("kl").get<double>(), 0.5);
  expect_done(run_terse({"run", directory_ / "w4", "--prompt", "abc", "--max-tokens", "5"}));
}

TEST_F(ExpertVerbs, RefuseWhatExpertsAreInTheWayOf) {
  expect_refused(run_terse({"search", model(), "-o", directory_ / "r.yaml", "--target-bpw", "4",
                            "--text", text()}),
                 2, {"search is not possible with experts yet", "qwen3_moe"});
  expect_refused(run_terse({"compress", model(), "-o", directory_ / "a", "--method", "awq",
                            "--calibration-text", text()}),
                 2, {"awq is not possible with experts yet"});
  if (!fs::exists(fs::path(TERSE_PROGRAM).parent_path() / "libterse_train.so")) {
    GTEST_SKIP() << "the training module was not built";
  }
  expect_refused(run_terse({"train", model(), "-o", directory_ / "t", "--text", text()}), 2,
                 {"training is not possible with experts yet"});
  expect_refused(run_terse({"importance", model(), "-o", directory_ / "i", "--text", text()}), 2,
                 {"scoring importance is not possible with experts yet"});
}

}  // namespace
}  // namespace terse::test
