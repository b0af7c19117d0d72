// terse run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <utf8proc.h>

#include <cmath>
#include <set>

#include "apps/files.h"
#include "apps/program.h"
#include "apps/tiny_model.h"
#include "support/paths.h"
#include "support/temporary_directory.h"
#include "terse/tokenizer/text_encoder.h"

namespace terse::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;
using testing::StartsWith;

const std::string& docs_llama() {
  static const std::string path = source_path("models/docs-llama").string();
  return path;
}

bool is_utf8(const std::string& text) {
  const auto* data = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  utf8proc_int32_t code = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto size =
        utf8proc_iterate(data + at, static_cast<utf8proc_ssize_t>(text.size() - at), &code);
    if (size < 1) return false;
    at += static_cast<std::size_t>(size);
  }
  return true;
}

class Run : public testing::Test {
 protected:
  void SetUp() override { write_tiny_model(model_); }

  ProgramResult run(std::vector<std::string> arguments, const ProgramSetting& setting = {}) const {
    arguments.insert(arguments.begin(), {"run", model_});
    return run_terse(arguments, setting);
  }

  // Token ids that follow "abc".
  std::vector<int> ids(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--prompt", "abc", "--json"});
    const ProgramResult result = run(std::move(arguments));
    expect_done(result);
    return result.json().at("results").at(0).at("token_ids");
  }

  TemporaryDirectory directory_;
  fs::path model_ = directory_ / "m";
};

TEST(RunDocsLlama, GreedyTextIsThePublishedOne) {
  const json oracle = read_json_file(source_path("tests/oracle/docs-llama.json"));
  const TextEncoder encoder = TextEncoder::load(docs_llama());
  const std::vector<std::int32_t> from = oracle.at("greedy_from");
  const std::string prompt = encoder.tokenizer().decode(from);
  ASSERT_EQ(encoder.encode(prompt), from) << "the prompt's text does not give its ids back";
  const std::vector<std::int32_t> expected = oracle.at("greedy_ids");
  const ProgramResult result =
      run_terse({"run", docs_llama(), "--prompt", prompt, "--max-tokens", "64", "--json"});
  expect_done(result);
  const json first = result.json().at("results").at(0);
  EXPECT_EQ(first.at("token_ids"), expected);
  EXPECT_EQ(first.at("prompt_tokens"), from.size());
  EXPECT_EQ(first.at("finish_reason"), "length");
  const ProgramResult text =
      run_terse({"run", docs_llama(), "--prompt", prompt, "--max-tokens", "64"});
  expect_done(text);
  EXPECT_EQ(text.out, prompt + encoder.tokenizer().decode(expected) + "\n");
}

TEST(RunDocsLlama, StreamsWholeCharactersWhateverIsDrawn) {
  const ProgramResult result = run_terse({"run", docs_llama(), "--prompt", "w\xc3\xb6 \xf0\x9f\x99",
                                          "--temperature", "1000", "--max-tokens", "200"});
  expect_done(result);
  EXPECT_TRUE(is_utf8(result.out.substr(8))) << result.out;
  EXPECT_GT(result.out.size(), 400U);
}

TEST_F(Run, ReadsThePromptFromStandardInput) {
  const ProgramResult piped = run({"--max-tokens", "9"}, {.input = "abc"});
  expect_done(piped);
  EXPECT_THAT(piped.out, StartsWith("abc"));
  EXPECT_EQ(piped.out, run({"--max-tokens", "9", "--prompt", "abc"}).out);
}

TEST_F(Run, ContinuesSeveralPromptsAsEachAlone) {
  const json together =
      run({"--prompt", "abc", "--prompt", "Zebra 1", "--max-tokens", "12", "--json"}).json();
  ASSERT_EQ(together.at("results").size(), 2U);
  EXPECT_EQ(together.at("results")[1].at("prompt"), "Zebra 1");
  EXPECT_EQ(together.at("results")[0].at("token_ids"), ids({"--max-tokens", "12"}));
  EXPECT_GT(together.at("seconds"), 0);
  EXPECT_GT(together.at("peak_memory_bytes"), 0);
  const ProgramResult text = run({"--prompt", "abc", "--prompt", "Zebra 1", "--max-tokens", "12"});
  expect_done(text);
  EXPECT_THAT(text.out, HasSubstr("abc" + together.at("results")[0].at("text").get<std::string>()));
  EXPECT_THAT(text.out,
              HasSubstr("Zebra 1" + together.at("results")[1].at("text").get<std::string>()));
}

TEST_F(Run, ThePromptMayComeBeforeTheModel) {
  const ProgramResult result = run_terse({"run", "--prompt", "abc", model_, "--max-tokens", "3"});
  expect_done(result);
  EXPECT_THAT(result.out, StartsWith("abc"));
}

TEST_F(Run, TheSameSeedGivesTheSameText) {
  const std::vector<std::string> options{"--temperature", "1", "--max-tokens", "40", "--seed"};
  const auto seeded = [&](const std::string& seed, const std::string& threads) {
    std::vector<std::string> arguments = options;
    arguments.insert(arguments.end(), {seed, "--threads", threads});
    return ids(arguments);
  };
  EXPECT_EQ(seeded("7", "1"), seeded("7", "3"));
  EXPECT_NE(seeded("7", "1"), seeded("8", "1"));
}

TEST_F(Run, SamplingOptionsHaveTheirEffect) {
  const std::vector<int> greedy = ids({"--max-tokens", "40"});
  const auto sampled = [&](std::vector<std::string> more) {
    more.insert(more.end(), {"--temperature", "3", "--seed", "1", "--max-tokens", "40"});
    return ids(std::move(more));
  };
  const std::vector<int> all = sampled({});
  EXPECT_NE(all, greedy);
  // Each of these leaves the most probable token alone.
  EXPECT_EQ(sampled({"--top-k", "1"}), greedy);
  EXPECT_EQ(sampled({"--top-p", "0.001"}), greedy);
  EXPECT_EQ(sampled({"--min-p", "1"}), greedy);
  // A weak setting changes some choices and not all.
  EXPECT_NE(sampled({"--top-k", "5"}), all);
  EXPECT_NE(sampled({"--top-k", "5"}), greedy);
  EXPECT_NE(sampled({"--top-p", "0.5"}), all);
  EXPECT_NE(sampled({"--min-p", "0.3"}), all);
  // So strong a penalty lets no token come twice.
  const std::vector<int> penalised = ids({"--max-tokens", "30", "--repetition-penalty", "1e9"});
  EXPECT_EQ(std::set<int>(penalised.begin(), penalised.end()).size(), penalised.size());
}

TEST_F(Run, StopsAtEndTokensAndAtTheContext) {
  const std::vector<int> greedy = ids({"--max-tokens", "20"});
  ASSERT_EQ(greedy.size(), 20U);
  const auto stop = std::find(greedy.begin() + 1, greedy.end(), greedy[5]);
  write_text(model_ / "generation_config.json", json{{"eos_token_id", {0, *stop}}}.dump());
  const json stopped =
      run({"--prompt", "abc", "--max-tokens", "20", "--json"}).json().at("results")[0];
  EXPECT_EQ(stopped.at("finish_reason"), "stop");
  EXPECT_EQ(stopped.at("tokens"), std::find(greedy.begin(), greedy.end(), *stop) - greedy.begin());
  // The tokenizer's end token counts too.
  const std::string character = TextEncoder::load(model_).tokenizer().token(*stop);
  write_text(model_ / "generation_config.json", json{{"eos_token_id", 2}}.dump());
  write_text(model_ / "tokenizer_config.json",
             json{{"bos_token", "<s>"}, {"add_bos_token", true}, {"eos_token", character}}.dump());
  EXPECT_EQ(run({"--prompt", "abc", "--max-tokens", "20", "--json"}).json().at("results")[0],
            stopped);
  write_tiny_model(model_);
  fs::remove(model_ / "generation_config.json");
  const json full =
      run({"--prompt", tiny_text(250), "--max-tokens", "99999", "--json"}).json().at("results")[0];
  EXPECT_EQ(full.at("prompt_tokens"), 251);
  EXPECT_LE(full.at("tokens"), 5);
}

TEST_F(Run, AnEmptyPromptBeginsWithTheBeginToken) {
  const ProgramResult result = run({"--prompt", "", "--max-tokens", "4", "--json"});
  expect_done(result);
  EXPECT_EQ(result.json().at("results")[0].at("prompt_tokens"), 1);
  expect_done(run({"--max-tokens", "4"}));
  write_text(model_ / "tokenizer_config.json", "{}");
  expect_refused(run({"--prompt", "", "--max-tokens", "4"}), 3, {"prompt has no tokens"});
}

TEST_F(Run, JsonHoldsTextThatIsNotUtf8) {
  const ProgramResult result = run({"--prompt", "a\xff\xc3", "--max-tokens", "4", "--json"});
  expect_done(result);
  EXPECT_THAT(result.json().at("results")[0].at("prompt").get<std::string>(), StartsWith("a\xef"));
}

TEST_F(Run, EndsBeforeAStopString) {
  const std::vector<std::string> plain{"--prompt", "abc", "--max-tokens", "30"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), plain.begin(), plain.end());
    const ProgramResult result = run(more);
    expect_done(result);
    return result;
  };
  const json whole = with({"--json"}).json().at("results")[0];
  EXPECT_FALSE(whole.contains("stop"));
  const std::string text = whole.at("text");
  // Every token is one character, so that the string spans several.
  const std::string stop = text.substr(10, 4);
  const std::string expected = text.substr(0, text.find(stop));
  const json cut = with({"--stop", "not in it", "--stop", stop, "--json"}).json().at("results")[0];
  EXPECT_EQ(cut.at("text"), expected);
  EXPECT_EQ(cut.at("finish_reason"), "stop");
  EXPECT_EQ(cut.at("stop"), stop);
  EXPECT_EQ(cut.at("tokens"), text.find(stop) + stop.size());
  EXPECT_EQ(with({"--stop", stop}).out, "abc" + expected + "\n");
  // What only begins like a stop string is part of the text.
  EXPECT_EQ(with({"--stop", text.substr(26) + "never"}).out, "abc" + text + "\n");
}

TEST_F(Run, LogProbabilitiesAreThoseOfTheModelWhateverIsSampled) {
  const auto first = [&](std::vector<std::string> more) {
    more.insert(more.end(), {"--prompt", "abc", "--json", "--max-tokens", "4"});
    const ProgramResult result = run(std::move(more));
    expect_done(result);
    return result.json().at("results")[0];
  };
  const json greedy = first({"--logprobs", "67"});
  ASSERT_EQ(greedy.at("logprobs").size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) {
    const json& token = greedy.at("logprobs")[i];
    EXPECT_EQ(token.at("id"), greedy.at("token_ids")[i]);
    ASSERT_EQ(token.at("top_logprobs").size(), 67U);
    EXPECT_EQ(token.at("top_logprobs")[0].at("token"), token.at("token"));
    EXPECT_EQ(token.at("top_logprobs")[0].at("logprob"), token.at("logprob"));
    double sum = 0;
    for (const json& each : token.at("top_logprobs"))
      sum += std::exp(each.at("logprob").get<double>());
    EXPECT_NEAR(sum, 1, 1e-9);
  }
  const json sampled = first({"--logprobs", "2", "--temperature", "9", "--top-k", "50"});
  const json& expected = greedy.at("logprobs")[0].at("top_logprobs");
  EXPECT_EQ(sampled.at("logprobs")[0].at("top_logprobs"), json({expected[0], expected[1]}));
  EXPECT_FALSE(first({}).contains("logprobs"));
  EXPECT_EQ(first({"--logprobs", "0"}).at("logprobs")[0].at("top_logprobs").size(), 0U);
}

TEST_F(Run, EachPromptMayHaveItsSeed) {
  const std::vector<std::string> options{"--temperature", "1", "--max-tokens", "20"};
  const auto alone = [&](const std::string& seed) {
    std::vector<std::string> arguments = options;
    arguments.insert(arguments.end(), {"--seed", seed});
    return ids(arguments);
  };
  std::vector<std::string> three = options;
  for (const char* seed : {"5", "6", "5"}) {
    three.insert(three.end(), {"--prompt", "abc", "--seed", seed});
  }
  three.push_back("--json");
  const json together = run(three).json().at("results");
  EXPECT_EQ(together[0].at("token_ids"), alone("5"));
  EXPECT_EQ(together[1].at("token_ids"), alone("6"));
  EXPECT_EQ(together[2].at("token_ids"), alone("5"));
  EXPECT_NE(alone("5"), alone("6"));
}

TEST_F(Run, SaysWhatIsWrong) {
  expect_refused(run({"--prompt", tiny_text(256)}), 3, {"257 tokens", "context is 256"});
  expect_refused(run({"--prompt", "a", "b"}), 2, {"b"});
  expect_refused(run({"--prompt", "a", "--max-tokens", "0"}), 2, {"--max-tokens", "from 1 on"});
  expect_refused(run({"--prompt", "a", "--temperature", "-1"}), 2, {"temperature is -1"});
  expect_refused(run({"--prompt", "a", "--temperature", "nan"}), 2, {"temperature"});
  expect_refused(run({"--prompt", "a", "--temperature", "inf"}), 2, {"temperature"});
  expect_refused(run({"--prompt", "a", "--temperature", "warm"}), 2, {"--temperature"});
  expect_refused(run({"--prompt", "a", "--top-k", "-1"}), 2, {"top-k is -1"});
  expect_refused(run({"--prompt", "a", "--top-p", "0"}), 2, {"top-p is 0"});
  expect_refused(run({"--prompt", "a", "--top-p", "1.1"}), 2, {"top-p is 1.1"});
  expect_refused(run({"--prompt", "a", "--min-p", "-0.1"}), 2, {"min-p is -0.1"});
  expect_refused(run({"--prompt", "a", "--repetition-penalty", "0"}), 2, {"repetition penalty"});
  expect_refused(run({"--prompt", "a", "--repetition-penalty", "inf"}), 2, {"repetition penalty"});
  expect_refused(run({"--prompt", "a", "--seed", "x"}), 2, {"--seed"});
  expect_refused(run({"--prompt", "a", "--seed", "-1"}), 2, {"--seed"});
  expect_refused(run({"--prompt", "a", "--seed", "1", "--seed", "2"}), 2,
                 {"2 seeds for 1 prompts"});
  expect_refused(run({"--prompt", "a", "--stop", ""}), 2, {"--stop", "empty"});
  expect_refused(run({"--prompt", "a", "--logprobs", "2"}), 2, {"--logprobs", "--json"});
  expect_refused(run({"--prompt", "a", "--logprobs", "-1", "--json"}), 2, {"from 0 on"});
}

}  // namespace
}  // namespace terse::test
