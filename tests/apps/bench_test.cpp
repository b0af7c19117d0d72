// terse bench.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "apps/program.h"
#include "apps/tiny_model.h"
#include "support/temporary_directory.h"

namespace terse::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

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

// The lines of a report that are about this.
std::vector<nlohmann::json> results(const nlohmann::json& report, const std::string& test) {
  std::vector<nlohmann::json> found;
  for (const auto& line : report.at("results")) {
    if (line.at("test") == test) found.push_back(line);
  }
  return found;
}

TEST_F(BenchVerb, ComparesModelsWithTheFirst) {
  const ProgramResult result = bench({"--repetitions", "3", "--json"});
  expect_done(result);
  const nlohmann::json json = result.json();
  EXPECT_EQ(json.at("repetitions"), 3);
  EXPECT_GT(json.at("peak_memory_bytes"), 0);
  for (const char* limit : {"memory_bandwidth", "integer_peak", "float_peak"}) {
    EXPECT_GT(json.at("limits").at(0).at(limit), 0);
  }
  EXPECT_EQ(json.at("results").size(), 4U);
  for (const auto& line : json.at("results")) {
    EXPECT_EQ(line.at("prompt_tokens"), 16);
    EXPECT_EQ(line.at("tokens"), 3);
    const nlohmann::json& rate = line.at("tokens_per_second");
    EXPECT_GT(rate.at("least"), 0);
    EXPECT_LE(rate.at("least"), rate.at("median"));
    EXPECT_LE(rate.at("median"), rate.at("most"));
  }
  const auto prompts = results(json, "prompt");
  const auto written = results(json, "generation");
  EXPECT_EQ(written.at(0).at("ratio").at("median"), 1.0);
  EXPECT_EQ(prompts.at(0).at("ratio").at("of_operations"), 1.0);
  // 192 channels of three linears less in each of two blocks, held in bfloat16.
  EXPECT_EQ(written.at(0).at("bytes_per_token").get<double>() -
                written.at(1).at("bytes_per_token").get<double>(),
            2.0 * 2 * 3 * 192 * 128);
  EXPECT_GT(written.at(1).at("ratio").at("of_bytes"), 1.0);
  EXPECT_GT(prompts.at(1).at("ratio").at("of_operations"), 1.0);
  EXPECT_GT(prompts.at(0).at("peak_share"), 0);
  EXPECT_GT(written.at(0).at("bandwidth_share"), 0);
}

TEST_F(BenchVerb, SaysItInWords) {
  const ProgramResult result = bench({"--repetitions", "1"});
  expect_done(result);
  for (const char* words :
       {"tokens/s", "prompt of 16", "3 after 16", "Gop", "% of the arithmetic peak", "MB",
        "% of the memory's bandwidth", "its bytes allow", "its operations allow", "memory reads",
        "products of 8-bit integers", "peak memory"}) {
    EXPECT_THAT(result.out, HasSubstr(words));
  }
  const ProgramResult alone = run_terse({"bench", directory_ / "dense", "--prompt-tokens", "16",
                                         "--tokens", "3", "--repetitions", "1"});
  EXPECT_THAT(alone.out, Not(HasSubstr("times the first")));
}

TEST_F(BenchVerb, MeasuresEveryLengthOnEveryNumberOfThreads) {
  const ProgramResult result =
      run_terse({"bench", directory_ / "dense", "--prompt-tokens", "8,16", "--tokens", "2,3",
                 "--threads", "1,2", "--repetitions", "1", "--json"});
  expect_done(result);
  const nlohmann::json json = result.json();
  EXPECT_EQ(json.at("limits").size(), 2U);
  std::vector<std::vector<int>> found;
  for (const auto& line : results(json, "generation")) {
    found.push_back({line.at("threads"), line.at("prompt_tokens"), line.at("tokens")});
  }
  EXPECT_THAT(found, ElementsAre(ElementsAre(1, 8, 2), ElementsAre(1, 8, 3), ElementsAre(1, 16, 2),
                                 ElementsAre(1, 16, 3), ElementsAre(2, 8, 2), ElementsAre(2, 8, 3),
                                 ElementsAre(2, 16, 2), ElementsAre(2, 16, 3)));
  EXPECT_EQ(results(json, "prompt").size(), 8U);
}

TEST_F(BenchVerb, ShowsGenerationAloneAtADepthOfContext) {
  const ProgramResult result = run_terse({"bench", directory_ / "dense", "--context", "32,128",
                                          "--tokens", "2", "--repetitions", "1", "--json"});
  expect_done(result);
  const auto written = results(result.json(), "generation");
  EXPECT_TRUE(results(result.json(), "prompt").empty());
  ASSERT_EQ(written.size(), 2U);
  EXPECT_GT(written.at(1).at("bytes_per_token"), written.at(0).at("bytes_per_token"));
}

TEST_F(BenchVerb, WritesCommaSeparatedValues) {
  std::filesystem::rename(directory_ / "dense", directory_ / "a, \"b\"");
  const ProgramResult result =
      run_terse({"bench", directory_ / "a, \"b\"", "--prompt-tokens", "16", "--tokens", "3",
                 "--threads", "1", "--repetitions", "1", "--csv"});
  expect_done(result);
  std::istringstream lines(result.out);
  std::string names;
  std::string prompt;
  std::string generation;
  std::getline(lines, names);
  std::getline(lines, prompt);
  std::getline(lines, generation);
  EXPECT_THAT(names, StartsWith("model,threads,test,prompt_tokens,tokens,tokens_per_second,"));
  const std::string model = "a, \"\"b\"\"\"";
  EXPECT_THAT(prompt, HasSubstr(model + ",1,prompt,16,3,"));
  EXPECT_THAT(generation, HasSubstr(model + ",1,generation,16,3,"));
  const std::string cells = generation.substr(generation.find(model) + model.size());
  EXPECT_EQ(std::ranges::count(cells, ','), std::ranges::count(names, ','));
}

TEST_F(BenchVerb, MakesModelsOfRandomWeights) {
  const ProgramResult result = run_terse(
      {"bench", directory_ / "dense", "--synthetic", "tiny", "--bits", "4,16", "--sparsity",
       "0,0.5,2:4", "--prompt-tokens", "8", "--tokens", "2", "--repetitions", "1", "--json"});
  expect_done(result);
  std::vector<std::string> names;
  for (const auto& line : results(result.json(), "prompt")) names.push_back(line.at("model"));
  EXPECT_THAT(names,
              ElementsAre(directory_ / "dense", "tiny, 4 bits group 32",
                          "tiny, 4 bits group 32 bitmap 0.5", "tiny, 4 bits group 32 2:4",
                          "tiny, bfloat16", "tiny, bfloat16 bitmap 0.5", "tiny, bfloat16 2:4"));
}

// The buffer that the memory is measured with, 256 MiB, does not count.
TEST_F(BenchVerb, CountsTheMemoryOfTheModelsAlone) {
  const ProgramResult result = bench({"--repetitions", "1", "--json"});
  EXPECT_LT(result.json().at("peak_memory_bytes"), 128 << 20);
}

TEST_F(BenchVerb, RefusesWhatDoesNotFit) {
  const std::string dense = directory_ / "dense";
  expect_refused(run_terse({"bench", dense, "--prompt-tokens", "256"}), 2,
                 {"do not fit the model's context of 256"});
  expect_refused(run_terse({"bench", dense, "--prompt-tokens", "8,256"}), 2,
                 {"do not fit the model's context of 256"});
  expect_refused(run_terse({"bench", dense, "--tokens", "1"}), 2, {"--tokens"});
  expect_refused(run_terse({"bench", dense, "--tokens", "4,x"}), 2, {"--tokens"});
  expect_refused(run_terse({"bench", dense, "--threads", "0"}), 2, {"--threads"});
  expect_refused(run_terse({"bench", dense, "--context", "8", "--prompt-tokens", "8"}), 2,
                 {"--context", "--prompt-tokens"});
  expect_refused(run_terse({"bench", dense, "--csv", "--json"}), 2, {"--csv", "--json"});
  expect_refused(run_terse({"bench", directory_ / "none"}), 3, {"none"});
}

TEST_F(BenchVerb, RefusesModelsThatCannotBeMade) {
  const auto refused = [](std::vector<std::string> words, const char* says) {
    words.insert(words.begin(), "bench");
    expect_refused(run_terse(words), 2, {says});
  };
  refused({}, "name model directories, or a shape with --synthetic");
  refused({"--synthetic", "huge"}, "shape 'huge' is unknown; choose llama-1b");
  refused({"--synthetic", "tiny", "--bits", "9"}, "9 bits");
  refused({"--synthetic", "tiny", "--group-size", "100"}, "groups of 100");
  refused({"--synthetic", "tiny", "--sparsity", "1"}, "--sparsity 1");
  refused({"--synthetic", "tiny", "--sparsity", "0.5x"}, "--sparsity 0.5x");
  refused({directory_ / "dense", "--bits", "4"}, "--bits requires --synthetic");
}

}  // namespace
}  // namespace terse::test
