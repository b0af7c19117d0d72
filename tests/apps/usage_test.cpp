// The program before any verb runs: version, help, wrong usage.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>

#include "apps/files.h"
#include "apps/program.h"
#include "apps/tiny_model.h"
#include "support/temporary_directory.h"

namespace terse::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const std::vector<std::vector<std::string>> kVerbs{
    {"inspect"}, {"compress"}, {"eval", "perplexity"}, {"eval", "divergence"}, {"run"}, {"methods"},
    {"plan"},    {"bench"}};

std::string help_of(std::vector<std::string> verb) {
  verb.emplace_back("--help");
  const ProgramResult result = run_terse(verb);
  expect_done(result);
  return result.out;
}

// The command lines that a help text shows.
std::vector<std::string> examples_in(const std::string& help) {
  std::istringstream lines(help.substr(help.find("Example")));
  std::vector<std::string> examples;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("  terse ") || line.starts_with("  echo ")) examples.push_back(line);
  }
  return examples;
}

TEST(Usage, SaysItsVersion) {
  const ProgramResult result = run_terse({"--version"});
  expect_done(result);
  EXPECT_THAT(result.out, testing::MatchesRegex("terse [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST(Usage, HelpOfEveryVerbHasExamples) {
  EXPECT_THAT(examples_in(help_of({})), testing::SizeIs(4));
  for (const auto& verb : kVerbs) {
    const std::string help = help_of(verb);
    EXPECT_THAT(help, HasSubstr("Usage: terse " + verb[0]));
    EXPECT_THAT(help, HasSubstr("--json"));
    EXPECT_THAT(help, HasSubstr("--help"));
    EXPECT_FALSE(examples_in(help).empty()) << help;
  }
  for (const char* verb : {"inspect", "compress", "eval", "run", "methods", "plan", "search"}) {
    EXPECT_THAT(help_of({}), HasSubstr(verb));
  }
}

// An example for a model of a billion weights, which would take minutes, for the smallest one.
std::string with_tiny_shape(std::string example) {
  const std::string large = "--synthetic llama-1b";
  const std::size_t at = example.find(large);
  return at == std::string::npos ? example : example.replace(at, large.size(), "--synthetic tiny");
}

// Runs every example of every help as it is written, where the files exist that it names.
TEST(Usage, ExamplesWorkAsWritten) {
  const TemporaryDirectory directory;
  fs::create_directory(directory / "models");
  write_tiny_model(directory / "models/docs-llama");
  write_tiny_model(directory / "chat-model");
  write_text(directory / "chat-model/chat_template.jinja", "{{ messages[0].content }}");
  write_text(directory / "prompts.jsonl", "{\"prompt\": \"abc\"}\n");
  write_text(directory / "notes.txt", tiny_text(1500));
  std::string header = "{'descr': '<i4', 'fortran_order': False, 'shape': (512,), }";
  header.resize(117, ' ');
  std::string ids("\x93NUMPY\x01\x00\x76\x00", 10);
  ids += header + "\n";
  for (int i = 0; i < 512; ++i) ids += std::string{static_cast<char>(3 + i % 60), 0, 0, 0};
  write_text(directory / "ids.npy", ids);
  const std::string path = fs::path(TERSE_PROGRAM).parent_path().string();
  std::vector<std::vector<std::string>> verbs{{}};
  verbs.insert(verbs.end(), kVerbs.begin(), kVerbs.end());
  int count = 0;
  for (const auto& verb : verbs) {
    for (const std::string& example : examples_in(help_of(verb))) {
      const ProgramResult result =
          run_program("sh", {"-c", "PATH=" + path + ":$PATH; set -e;" + with_tiny_shape(example)},
                      {.directory = directory.path()});
      SCOPED_TRACE(example);
      expect_done(result);
      EXPECT_NE(result.out, "");
      ++count;
    }
  }
  EXPECT_GE(count, 16);
}

TEST(Usage, WrongUsageIsOneLineThatPointsToTheHelp) {
  expect_refused(run_terse({}), 2, {"verb is missing", "compress", "terse --help"});
  expect_refused(run_terse({"shrink"}), 2, {"unknown verb 'shrink'", "inspect, compress"});
  expect_refused(run_terse({"eval"}), 2, {"verb is missing", "perplexity, divergence"});
  expect_refused(run_terse({"eval", "speed"}), 2, {"unknown verb 'speed'", "terse eval --help"});
  expect_refused(run_terse({"inspect"}), 2, {"model", "required", "terse inspect --help"});
  expect_refused(run_terse({"inspect", "a", "b"}), 2, {"b"});
  expect_refused(run_terse({"inspect", "a", "--shape"}), 2, {"--shape"});
  expect_refused(run_terse({"compress", "a", "--method", "rtn"}), 2, {"--output"});
  expect_refused(run_terse({"compress", "a", "-o", "b"}), 2, {"--method"});
  expect_refused(run_terse({"compress", "a", "-o"}), 2, {"--output"});
}

TEST(Usage, ThreadsAreAPositiveNumber) {
  const TemporaryDirectory directory;
  write_tiny_model(directory / "m");
  for (const char* count : {"0", "-1", "x", "1.5", "99999"}) {
    expect_refused(run_terse({"inspect", directory / "m", "--threads", count}), 2, {"--threads"});
  }
  expect_done(run_terse({"--threads", "2", "inspect", directory / "m"}));
  expect_done(run_terse({"inspect", directory / "m", "--threads", "3"}));
}

TEST(Usage, AControlCharacterOfAnArgumentDoesNotBreakTheLine) {
  expect_refused(run_terse({"inspect", "no\nsuch\x1b[31m"}), 3, {"no\\x0asuch\\x1b[31m"});
  expect_refused(run_terse({"in\nspect"}), 2, {"in\\x0aspect"});
}

TEST(Usage, AFullStandardOutputIsAFailure) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "this system has no /dev/full";
  const TemporaryDirectory directory;
  write_tiny_model(directory / "m");
  const ProgramResult result =
      run_terse({"inspect", directory / "m", "--json"}, {.standard_output = "/dev/full"});
  expect_refused(result, 1, {"standard output", "No space left"});
}

}  // namespace
}  // namespace terse::test
