// The same prompt, seed and settings give the same text on any number of threads, and the same in a
// batch as alone.
#include <gtest/gtest.h>

#include <sstream>

#include "apps/files.h"
#include "apps/program.h"
#include "support/paths.h"
#include "support/temporary_directory.h"

namespace terse::test {
namespace {

using nlohmann::json;
using Words = std::vector<std::string>;

struct Setting {
  std::string name;
  bool packed;
  Words sampling;
};

void PrintTo(const Setting& setting, std::ostream* out) {
  *out << setting.name;
}

class RunSameText : public testing::TestWithParam<Setting> {
 protected:
  void SetUp() override {
    if (!GetParam().packed) return;
    const ProgramResult result =
        run_terse({"compress", model_, "-o", directory_ / "w4", "--method", "rtn", "--bits", "4",
                   "--group-size", "32", "--embeddings-bits", "8"});
    ASSERT_EQ(result.code, 0) << result.err;
    model_ = directory_ / "w4";
  }

  Words words(const std::string& threads, const Words& more) const {
    Words made{"run", model_, "--max-tokens", "48", "--threads", threads};
    made.insert(made.end(), GetParam().sampling.begin(), GetParam().sampling.end());
    made.insert(made.end(), more.begin(), more.end());
    return made;
  }

  TemporaryDirectory directory_;
  std::string model_ = source_path("models/docs-llama").string();
};

struct SeededPrompt {
  std::string text;
  std::string seed;
};

// Two are the same, two have a beginning in common, all have lengths of their own.
const std::vector<SeededPrompt>& prompts() {
  static const std::string beginning =
      "The following options are understood by every command that reads a file from the disk and "
      "writes another one beside it, unless the manual page of the command says otherwise: ";
  static const std::vector<SeededPrompt> all{{"The command", "1"},
                                             {beginning + "the first", "2"},
                                             {"The command", "1"},
                                             {beginning + "all", "3"},
                                             {"A", "4"}};
  return all;
}

TEST_P(RunSameText, OnAnyNumberOfThreadsInABatchAndAlone) {
  std::string file;
  for (const SeededPrompt& each : prompts()) {
    file += json{{"prompt", each.text}, {"seed", std::stoi(each.seed)}}.dump() + "\n";
  }
  write_text(directory_ / "prompts.jsonl", file);
  std::vector<json> alone;
  for (const SeededPrompt& each : prompts()) {
    const ProgramResult result =
        run_terse(words("1", {"--prompt", each.text, "--seed", each.seed, "--json"}));
    expect_done(result);
    alone.push_back(result.json().at("results").at(0));
    alone.back().erase("prompt");
  }
  EXPECT_EQ(alone[0], alone[2]);
  for (const std::string threads : {"1", "2", "3"}) {
    for (const std::string together : {"1", "3", "5"}) {
      const ProgramResult result = run_terse(
          words(threads, {"--batch", directory_ / "prompts.jsonl", "--batch-size", together}));
      expect_done(result);
      std::istringstream lines(result.out);
      std::string line;
      for (const json& expected : alone) {
        ASSERT_TRUE(std::getline(lines, line));
        EXPECT_EQ(json::parse(line), expected)
            << threads << " threads, " << together << " at a time";
      }
    }
    const ProgramResult streamed =
        run_terse(words(threads, {"--prompt", prompts()[1].text, "--seed", prompts()[1].seed}));
    EXPECT_EQ(streamed.out, prompts()[1].text + alone[1].at("text").get<std::string>() + "\n");
  }
}

const Words kSampled{"--temperature", "0.9", "--top-p", "0.95", "--repetition-penalty", "1.1"};

INSTANTIATE_TEST_SUITE_P(, RunSameText,
                         testing::Values(Setting{"dense_greedy", false, {}},
                                         Setting{"dense_sampled", false, kSampled},
                                         Setting{"packed_greedy", true, {}},
                                         Setting{"packed_sampled", true, kSampled}),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace terse::test
