// terse eval perplexity and terse eval divergence.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "apps/files.h"
#include "apps/program.h"
#include "apps/tiny_model.h"
#include "support/paths.h"
#include "support/temporary_directory.h"

namespace terse::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

class Eval : public testing::Test {
 protected:
  void SetUp() override { write_tiny_model(model_); }

  ProgramResult perplexity(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"eval", "perplexity", model_});
    return run_terse(arguments);
  }

  json perplexity_json(std::vector<std::string> arguments) const {
    arguments.emplace_back("--json");
    const ProgramResult result = perplexity(std::move(arguments));
    expect_done(result);
    return result.json();
  }

  TemporaryDirectory directory_;
  fs::path model_ = directory_ / "m";
};

TEST_F(Eval, PerplexityHasTheKeysOfTheField) {
  write_text(directory_ / "a.txt", tiny_text(1000));
  const json result = perplexity_json({"--text", directory_ / "a.txt"});
  for (const char* key : {"perplexity", "standard_error", "loss", "loss_standard_error", "seconds",
                          "peak_memory_bytes", "peak_mapped_bytes"}) {
    ASSERT_TRUE(result.contains(key)) << key;
    EXPECT_GT(result.at(key), 0) << key;
  }
  // 1,000 characters and the begin token; three whole windows of the context of 256.
  EXPECT_EQ(result.at("windows"), 3);
  EXPECT_EQ(result.at("tokens"), 3 * 255);
  EXPECT_NEAR(std::log(result.at("perplexity").get<double>()), result.at("loss"), 1e-9);
}

TEST_F(Eval, TextModeShowsTheSameNumbers) {
  write_text(directory_ / "a.txt", tiny_text(600));
  const ProgramResult text = perplexity({"--text", directory_ / "a.txt"});
  expect_done(text);
  EXPECT_THAT(text.out, HasSubstr("perplexity "));
  EXPECT_THAT(text.out, HasSubstr("510 tokens in 2 windows"));
  EXPECT_THAT(text.out, HasSubstr("peak memory"));
}

TEST_F(Eval, OneWindowHasNoStandardError) {
  write_text(directory_ / "a.txt", tiny_text(300));
  EXPECT_TRUE(perplexity_json({"--text", directory_ / "a.txt"}).at("standard_error").is_null());
  const ProgramResult text = perplexity({"--text", directory_ / "a.txt"});
  expect_done(text);
}

TEST_F(Eval, FilesDirectoriesAndLinesOfOneTextAgree) {
  const std::string first = tiny_text(400);
  const std::string second = tiny_text(300);
  fs::create_directories(directory_ / "texts/deep");
  write_text(directory_ / "texts/a.txt", first);
  write_text(directory_ / "texts/deep/b.md", second);
  write_text(directory_ / "texts/deep/c.pdf", "not a text");
  write_text(directory_ / "lines.jsonl",
             json{{"body", first}}.dump() + "\n\n" + json{{"body", second}}.dump() + "\n");
  const json files = perplexity_json(
      {"--text", directory_ / "texts/a.txt", directory_ / "texts/deep/b.md", "--window", "64"});
  EXPECT_EQ(files.at("tokens"), (702 / 64) * 63);
  const json folder = perplexity_json({"--text", directory_ / "texts", "--window", "64"});
  const json lines = perplexity_json(
      {"--text", directory_ / "lines.jsonl", "--text-key", "body", "--window", "64"});
  EXPECT_EQ(folder.at("perplexity"), files.at("perplexity"));
  EXPECT_EQ(lines.at("perplexity"), files.at("perplexity"));
  expect_refused(perplexity({"--text", directory_ / "lines.jsonl"}), 3,
                 {"lines.jsonl", "line 1", "'text'"});
}

TEST_F(Eval, TokensFromJsonAndNpyAgree) {
  json ids = json::array();
  std::string npy("\x93NUMPY\x01\x00\x76\x00", 10);
  std::string header = "{'descr': '<u2', 'fortran_order': False, 'shape': (4, 30), }";
  header.resize(117, ' ');
  npy += header + "\n";
  for (int row = 0; row < 4; ++row) {
    ids.push_back(json::array());
    for (int i = 0; i < 30; ++i) {
      const int id = (row * row + i * 5) % 67;
      ids.back().push_back(id);
      npy += std::string{static_cast<char>(id), 0};
    }
  }
  write_text(directory_ / "ids.json", ids.dump());
  write_text(directory_ / "ids.npy", npy);
  const json from_json = perplexity_json({"--tokens", directory_ / "ids.json"});
  const json from_npy = perplexity_json({"--tokens", directory_ / "ids.npy"});
  EXPECT_EQ(from_json.at("perplexity"), from_npy.at("perplexity"));
  // Rows of a matrix are windows.
  EXPECT_EQ(from_json.at("windows"), 4);
  EXPECT_EQ(from_json.at("tokens"), 4 * 29);
  EXPECT_EQ(perplexity_json({"--tokens", directory_ / "ids.npy", "--window", "40"}).at("windows"),
            3);
}

TEST_F(Eval, AStrideScoresEveryTokenOnce) {
  write_text(directory_ / "a.txt", tiny_text(500));
  const json strided =
      perplexity_json({"--text", directory_ / "a.txt", "--window", "128", "--stride", "32"});
  EXPECT_EQ(strided.at("tokens"), 500);
  EXPECT_EQ(strided.at("windows"), 13);
}

TEST_F(Eval, SamplesAreWindowsOfTheText) {
  write_text(directory_ / "a.txt", tiny_text(999));
  const json all = perplexity_json({"--text", directory_ / "a.txt", "--window", "50"});
  const json some =
      perplexity_json({"--text", directory_ / "a.txt", "--window", "50", "--samples", "4"});
  const json more =
      perplexity_json({"--text", directory_ / "a.txt", "--window", "50", "--samples", "99"});
  EXPECT_EQ(some.at("windows"), 4);
  EXPECT_EQ(some.at("tokens"), 4 * 49);
  EXPECT_NE(some.at("perplexity"), all.at("perplexity"));
  EXPECT_EQ(more.at("perplexity"), all.at("perplexity"));
}

TEST_F(Eval, SaysWhatIsWrongWithTextAndWindows) {
  write_text(directory_ / "short.txt", "abc");
  write_text(directory_ / "empty.txt", "");
  write_text(directory_ / "a.txt", tiny_text(300));
  write_text(directory_ / "ids.json", "[1, 2, 3, 99, 5]");
  write_text(directory_ / "words.json", "[\"a\"]");
  write_text(directory_ / "ids.csv", "1,2,3");
  fs::create_directory(directory_ / "none");
  const std::string a = directory_ / "a.txt";
  expect_refused(perplexity({}), 2, {"--text or --tokens"});
  expect_refused(perplexity({"--text", a, "--tokens", directory_ / "ids.json"}), 2, {"--tokens"});
  expect_refused(perplexity({"--text", directory_ / "short.txt"}), 3,
                 {"4 tokens", "one window of 256", "--window"});
  expect_refused(perplexity({"--text", directory_ / "empty.txt"}), 3, {"1 tokens"});
  expect_refused(perplexity({"--text", directory_ / "absent.txt"}), 3, {"absent.txt"});
  expect_refused(perplexity({"--text", directory_ / "none"}), 3, {"none", ".txt"});
  expect_refused(perplexity({"--tokens", directory_ / "ids.json", "--window", "5"}), 3,
                 {"ids.json", "token id 99", "vocabulary of 67"});
  expect_refused(perplexity({"--tokens", directory_ / "words.json"}), 3, {"words.json"});
  expect_refused(perplexity({"--tokens", directory_ / "ids.csv"}), 3, {"ids.csv"});
  expect_refused(perplexity({"--tokens", directory_ / "absent.npy"}), 3, {"absent.npy"});
  expect_refused(perplexity({"--text", a, "--window", "1"}), 2, {"window of 1"});
  expect_refused(perplexity({"--text", a, "--window", "0"}), 2, {"--window", "from 1 on"});
  expect_refused(perplexity({"--text", a, "--window", "8", "--stride", "9"}), 2, {"stride is 9"});
  expect_refused(perplexity({"--text", a, "--stride", "-1"}), 2, {"--stride"});
  expect_refused(perplexity({"--text", a, "--samples", "0"}), 2, {"--samples", "from 1 on"});
}

TEST_F(Eval, AModelIsNotDivergentFromItself) {
  write_text(directory_ / "a.txt", tiny_text(600));
  const ProgramResult result =
      run_terse({"eval", "divergence", model_, model_, "--text", directory_ / "a.txt", "--json"});
  expect_done(result);
  const json numbers = result.json();
  EXPECT_NEAR(numbers.at("kl").get<double>(), 0, 1e-9);
  EXPECT_EQ(numbers.at("top1_agreement"), 1.0);
  EXPECT_EQ(numbers.at("loss_difference"), 0.0);
  EXPECT_EQ(numbers.at("perplexity"), numbers.at("base_perplexity"));
  EXPECT_EQ(numbers.at("tokens"), 2 * 255);
  for (const char* key : {"kl_standard_error", "kl_99", "top1_standard_error",
                          "loss_difference_standard_error", "seconds", "peak_memory_bytes"}) {
    EXPECT_TRUE(numbers.contains(key)) << key;
  }
}

TEST_F(Eval, DivergenceGrowsWithFewerBits) {
  write_text(directory_ / "a.txt", tiny_text(600));
  double before = 0;
  for (const char* bits : {"8", "4", "2"}) {
    const fs::path packed = directory_ / bits;
    expect_done(run_terse({"compress", model_, "-o", packed, "--method", "rtn", "--bits", bits}));
    const json result =
        run_terse({"eval", "divergence", model_, packed, "--text", directory_ / "a.txt", "--json"})
            .json();
    EXPECT_GT(result.at("kl"), 3 * before);
    EXPECT_GE(result.at("kl_99"), result.at("kl"));
    before = result.at("kl");
  }
}

TEST_F(Eval, DifferentVocabulariesCannotBeCompared) {
  json config = tiny_config();
  config["vocab_size"] = 70;
  write_tiny_model(directory_ / "other", config);
  write_text(directory_ / "a.txt", tiny_text(600));
  expect_refused(run_terse({"eval", "divergence", model_, directory_ / "other", "--text",
                            directory_ / "a.txt"}),
                 3, {"67 and 70"});
}

TEST_F(Eval, PublishedScoreOfTheEmbeddedModel) {
  const json oracle = read_json_file(source_path("tests/oracle/docs-llama.json"));
  const ProgramResult result =
      run_terse({"eval", "perplexity", source_path("models/docs-llama"), "--tokens",
                 source_path("tests/oracle/docs-llama/test_ids.npy"), "--json", "--threads", "2"});
  expect_done(result);
  const double published = oracle.at("scores").at("dense").at("perplexity");
  EXPECT_NEAR(result.json().at("perplexity").get<double>() / published, 1, 5e-4);
  EXPECT_EQ(result.json().at("tokens"), 160 * 255);
}

}  // namespace
}  // namespace terse::test
