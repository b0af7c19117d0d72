// terse bench.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/program.h"
#include "apps/tiny_model.h"
#include "support/temporary_directory.h"

namespace terse::test {
namespace {

using testing::HasSubstr;

class BenchVerb : public testing::Test {
 protected:
  BenchVerb() {
    write_tiny_model(directory_ / "dense");
    expect_done(run_terse({"compress", directory_ / "dense", "-o", directory_ / "narrow",
                           "--method", "magnitude_sp", "--intermediate-size", "64"}));
  }

  ProgramResult bench(std::vector<std::string> more) const {
    std::vector<std::string> words{
        "bench", directory_ / "dense", directory_ / "narrow", "--prompt-tokens", "16", "--tokens",
        "3"};
    words.insert(words.end(), more.begin(), more.end());
    return run_terse(words);
  }

  TemporaryDirectory directory_;
};

TEST_F(BenchVerb, ComparesModelsWithTheFirst) {
  const ProgramResult result = bench({"--repetitions", "3", "--json"});
  expect_done(result);
  const nlohmann::json json = result.json();
  EXPECT_EQ(json.at("prompt_tokens"), 16);
  EXPECT_EQ(json.at("repetitions"), 3);
  EXPECT_GT(json.at("memory_bandwidth"), 0);
  const nlohmann::json& dense = json.at("models").at(0);
  const nlohmann::json& narrow = json.at("models").at(1);
  EXPECT_EQ(dense.at("ratio").at("median"), 1.0);
  EXPECT_EQ(dense.at("prompt_ratio").at("of_operations"), 1.0);
  for (const char* rate : {"prompt_tokens_per_second", "tokens_per_second"}) {
    for (const auto& model : {dense, narrow}) {
      EXPECT_GT(model.at(rate).at("least"), 0);
      EXPECT_LE(model.at(rate).at("least"), model.at(rate).at("median"));
      EXPECT_LE(model.at(rate).at("median"), model.at(rate).at("most"));
    }
  }
  // 192 channels of three linears less in each of two blocks, held in bfloat16.
  EXPECT_EQ(dense.at("bytes_per_token").get<double>() - narrow.at("bytes_per_token").get<double>(),
            2.0 * 2 * 3 * 192 * 128);
  EXPECT_GT(narrow.at("ratio").at("of_bytes"), 1.0);
  EXPECT_GT(narrow.at("prompt_ratio").at("of_operations"), 1.0);
}

TEST_F(BenchVerb, SaysItInWords) {
  const ProgramResult result = bench({"--repetitions", "1"});
  expect_done(result);
  for (const char* words : {"tokens/s", "MB a token", "of the memory's bandwidth",
                            "times the first; its bytes allow", "its operations allow"}) {
    EXPECT_THAT(result.out, HasSubstr(words));
  }
}

TEST_F(BenchVerb, RefusesWhatDoesNotFit) {
  expect_refused(run_terse({"bench", directory_ / "dense", "--prompt-tokens", "256"}), 2,
                 {"do not fit the model's context of 256"});
  expect_refused(run_terse({"bench", directory_ / "dense", "--tokens", "1"}), 2, {"--tokens"});
  expect_refused(run_terse({"bench", directory_ / "none"}), 3, {"none"});
}

}  // namespace
}  // namespace terse::test
