// terse run --batch: files of prompts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <sstream>
#include <thread>

#include "apps/files.h"
#include "apps/program.h"
#include "apps/terminal_program.h"
#include "apps/tiny_model.h"
#include "support/temporary_directory.h"

namespace terse::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Words = std::vector<std::string>;

class RunBatch : public testing::Test {
 protected:
  void SetUp() override { write_tiny_model(model_); }

  Words words(Words arguments) const {
    arguments.insert(arguments.begin(), {"run", model_});
    return arguments;
  }

  ProgramResult run(const Words& arguments, const ProgramSetting& setting = {}) const {
    return run_terse(words(arguments), setting);
  }

  // The lines that the program makes of a file's.
  std::vector<json> results(const std::string& file, Words more = {}) const {
    write_text(directory_ / "in.jsonl", file);
    more.insert(more.end(), {"--batch", directory_ / "in.jsonl"});
    const ProgramResult result = run(more);
    expect_done(result);
    return lines_of(result.out);
  }

  static std::vector<json> lines_of(const std::string& text) {
    EXPECT_THAT(text, testing::AnyOf("", testing::EndsWith("\n")));
    std::vector<json> made;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) made.push_back(json::parse(line));
    return made;
  }

  json alone(Words arguments) const {
    arguments.push_back("--json");
    const ProgramResult result = run(arguments);
    expect_done(result);
    return result.json().at("results").at(0);
  }

  TemporaryDirectory directory_;
  fs::path model_ = directory_ / "m";
};

TEST_F(RunBatch, GivesALineForEachPromptInTheirOrder) {
  const std::string file = R"({"prompt": "abc", "id": "first"})"
                           "\n\n"
                           R"({"prompt": "abc", "seed": 7, "max_tokens": 40, "id": 2})"
                           "\n"
                           R"({"prompt": "", "max_tokens": 1})"
                           "\n"
                           R"({"prompt": "abc"})";
  const Words common{"--temperature", "1", "--max-tokens", "9", "--seed", "3"};
  for (const char* together : {"1", "2", "16"}) {
    Words arguments = common;
    arguments.insert(arguments.end(), {"--batch-size", together});
    const std::vector<json> made = results(file, arguments);
    ASSERT_EQ(made.size(), 4U);
    EXPECT_EQ(made[0].at("id"), "first");
    EXPECT_EQ(made[1].at("id"), 2);
    EXPECT_FALSE(made[2].contains("id"));
    const auto with = [&](Words more) {
      more.insert(more.end(), {"--temperature", "1"});
      return alone(std::move(more)).at("text");
    };
    EXPECT_EQ(made[0].at("text"), with({"--prompt", "abc", "--max-tokens", "9", "--seed", "3"}));
    EXPECT_EQ(made[1].at("text"), with({"--prompt", "abc", "--max-tokens", "40", "--seed", "7"}));
    EXPECT_EQ(made[2].at("text"), with({"--prompt", "", "--max-tokens", "1", "--seed", "3"}));
    EXPECT_EQ(made[2].at("tokens"), 1);
    EXPECT_EQ(made[3].at("text"), made[0].at("text"));
    EXPECT_EQ(made[3].at("prompt_tokens"), 4);
  }
}

TEST_F(RunBatch, WritesAFileOnceItIsComplete) {
  const std::string file = "{\"prompt\": \"abc\"}\n{\"prompt\": \"xyz\"}\n";
  write_text(directory_ / "out.jsonl", "older");
  const ProgramResult result = run(
      {"--batch", "-", "--output", directory_ / "out.jsonl", "--max-tokens", "5"}, {.input = file});
  expect_done(result);
  EXPECT_EQ(result.out, "");
  const std::string written = read_text(directory_ / "out.jsonl");
  EXPECT_EQ(lines_of(written), results(file, {"--max-tokens", "5"}));
  EXPECT_EQ(lines_of(written).size(), 2U);
  EXPECT_FALSE(fs::exists(directory_ / "out.jsonl.part"));
  expect_done(run({"--batch", "-"}, {.input = ""}));
}

TEST_F(RunBatch, AKilledRunLeavesNothingThatLooksComplete) {
  json config = tiny_config();
  config["max_position_embeddings"] = 100000;
  write_text(model_ / "config.json", config.dump());
  write_text(directory_ / "in.jsonl", "{\"prompt\": \"abc\", \"max_tokens\": 90000}\n");
  TerminalProgram program(
      words({"--batch", directory_ / "in.jsonl", "--output", directory_ / "out.jsonl"}));
  for (int i = 0; i < 6000 && !fs::exists(directory_ / "out.jsonl.part"); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(fs::exists(directory_ / "out.jsonl.part"));
  program.kill();
  program.wait();
  EXPECT_FALSE(fs::exists(directory_ / "out.jsonl"));
}

TEST_F(RunBatch, AWriteThatFailsIsAnErrorAndLeavesNoFile) {
  std::string file;
  for (int i = 0; i < 60; ++i) file += "{\"prompt\": \"abc\", \"max_tokens\": 9}\n";
  expect_refused(run({"--batch", "-", "--output", directory_ / "out.jsonl"},
                     {.input = file, .largest_file = 4096}),
                 1, {"out.jsonl", "cannot write"});
  EXPECT_FALSE(fs::exists(directory_ / "out.jsonl"));
  EXPECT_FALSE(fs::exists(directory_ / "out.jsonl.part"));
  const ProgramResult full = run({"--batch", "-"}, {.input = file, .standard_output = "/dev/full"});
  EXPECT_EQ(full.code, 1);
  EXPECT_THAT(full.err, testing::HasSubstr("standard output: cannot write"));
  expect_refused(
      run({"--batch", "-", "--output", directory_ / "no" / "out.jsonl"}, {.input = file}), 1,
      {"no/out.jsonl", "cannot create"});
}

TEST_F(RunBatch, RefusesALineBeforeAnythingIsComputed) {
  const auto refused = [&](const std::string& line, const std::vector<std::string>& parts) {
    write_text(directory_ / "in.jsonl", "{\"prompt\": \"abc\"}\n" + line);
    const ProgramResult result =
        run({"--batch", directory_ / "in.jsonl", "--output", directory_ / "out.jsonl"});
    std::vector<std::string> expected{(directory_ / "in.jsonl").string() + ": line 2: "};
    expected.insert(expected.end(), parts.begin(), parts.end());
    expect_refused(result, 3, expected);
    EXPECT_FALSE(fs::exists(directory_ / "out.jsonl"));
    EXPECT_FALSE(fs::exists(directory_ / "out.jsonl.part"));
  };
  refused("{\"prompt\": \"abc\"", {"not valid JSON"});
  refused("{\"prompt\": \"abc\", \"sed\": 1}", {"unknown key 'sed'", "'seed'"});
  refused(std::string("\0\x01", 2), {"not valid JSON"});
  refused("{\"prompt\": \"\xff\"}", {"not valid JSON"});
  refused(std::string(100000, '['), {"nested deeper"});
  refused("{\"prompt\": \"" + tiny_text(300) + "\"}", {"301 tokens", "context is 256"});
  refused("{\"messages\": []}", {"expected one message"});
  expect_refused(run({"--batch", "-"}, {.input = "x"}), 3, {"standard input: line 1: "});
  expect_refused(run({"--batch", directory_ / "none.jsonl"}), 3, {"none.jsonl", "No such file"});
}

TEST_F(RunBatch, HasNoUseForOtherInputsAndItsOptionsNoneWithoutIt) {
  expect_refused(run({"--batch", "-", "--prompt", "a"}), 2, {"--batch", "--prompt"});
  expect_refused(run({"--batch", "-", "--chat"}), 2, {"--batch", "--chat"});
  expect_refused(run({"--batch", "-", "--json"}), 2, {"--batch", "--json"});
  expect_refused(run({"--output", "x", "--prompt", "a"}), 2, {"--output requires --batch"});
  expect_refused(run({"--batch-size", "2", "--prompt", "a"}), 2, {"--batch-size requires"});
  expect_refused(run({"--batch", "-", "--batch-size", "0"}), 2, {"--batch-size", "from 1 on"});
  expect_refused(run({"--batch", "-", "--seed", "1", "--seed", "2"}), 2, {"2 seeds for 0 prompts"});
}

TEST_F(RunBatch, EndsTextsBeforeTheirOwnStopStrings) {
  const std::string whole = alone({"--prompt", "abc", "--max-tokens", "30"}).at("text");
  const std::string stop = whole.substr(8, 3);
  const std::vector<json> made =
      results(json{{"prompt", "abc"}, {"stop", {"no such text", stop}}}.dump() + "\n" +
                  json{{"prompt", "abc"}, {"stop", json::array()}}.dump() + "\n" +
                  json{{"prompt", "abc"}}.dump(),
              {"--max-tokens", "30", "--stop", whole.substr(4, 2)});
  EXPECT_EQ(made[0].at("text"), whole.substr(0, whole.find(stop)));
  EXPECT_EQ(made[0].at("finish_reason"), "stop");
  EXPECT_EQ(made[0].at("stop"), stop);
  EXPECT_EQ(made[1].at("text"), whole);
  EXPECT_EQ(made[1].at("finish_reason"), "length");
  EXPECT_FALSE(made[1].contains("stop"));
  EXPECT_EQ(made[2].at("text"), whole.substr(0, whole.find(whole.substr(4, 2))));
}

TEST_F(RunBatch, GivesLogProbabilities) {
  const std::vector<json> made =
      results("{\"prompt\": \"abc\"}", {"--max-tokens", "3", "--logprobs", "2"});
  EXPECT_EQ(made[0].at("logprobs"),
            alone({"--prompt", "abc", "--max-tokens", "3", "--logprobs", "2"}).at("logprobs"));
}

}  // namespace
}  // namespace terse::test
