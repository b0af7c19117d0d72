// Files of prompts: what is read, and what is refused with the number of its line.
#include "terse/model/text/batch_file.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/paths.h"

namespace terse {
namespace {

using test::expect_error;
using testing::ElementsAre;

TEST(BatchFile, ReadsPromptsAndMessagesWithTheirSettings) {
  const std::vector<BatchRequest> requests = parse_batch(
      "{\"prompt\": \"a\\nb\"}\n"
      "\n"
      "  \t\r\n"
      "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\", \"a\": 1}], \"id\": \"x\", "
      "\"seed\": 7, \"max_tokens\": 9, \"stop\": \"end\"}\r\n"
      "{\"prompt\": \"\", \"id\": 5, \"stop\": [\"p\", \"q\"], \"seed\": null}");
  ASSERT_EQ(requests.size(), 3U);
  EXPECT_EQ(requests[0].line, 1U);
  EXPECT_EQ(requests[0].prompt, "a\nb");
  EXPECT_TRUE(requests[0].id.is_null());
  EXPECT_EQ(requests[0].seed, std::nullopt);
  EXPECT_EQ(requests[0].max_tokens, std::nullopt);
  EXPECT_EQ(requests[0].stop_strings, std::nullopt);
  EXPECT_EQ(requests[1].line, 4U);
  EXPECT_EQ(requests[1].prompt, std::nullopt);
  EXPECT_EQ(requests[1].messages.dump(), R"([{"role":"user","content":"Hi","a":1}])");
  EXPECT_EQ(requests[1].id, "x");
  EXPECT_EQ(requests[1].seed, 7U);
  EXPECT_EQ(requests[1].max_tokens, 9);
  EXPECT_THAT(requests[1].stop_strings.value(), ElementsAre("end"));
  EXPECT_EQ(requests[2].line, 5U);
  EXPECT_EQ(requests[2].id, 5);
  EXPECT_THAT(requests[2].stop_strings.value(), ElementsAre("p", "q"));
  EXPECT_EQ(requests[2].seed, std::nullopt);
  EXPECT_TRUE(parse_batch("").empty());
  EXPECT_TRUE(parse_batch("\n\n").empty());
}

struct Refusal {
  std::string line;
  std::string part;
};

TEST(BatchFile, RefusesALineByItsNumber) {
  const std::string deep = fmt::format("{{\"prompt\": {}", std::string(100, '['));
  for (const Refusal& each : std::initializer_list<Refusal>{
           {"{\"prompt\": \"a\"", "not valid JSON"},
           {"{\"prompt\": \"a\"} {}", "not valid JSON"},
           {"\"text\"", "expected an object, found string"},
           {"[]", "expected an object, found array"},
           {"{}", "'prompt' and 'messages', found none"},
           {R"({"prompt": null})", "found none"},
           {R"({"prompt": "a", "messages": []})", "found both"},
           {R"({"prompt": "a", "prompt": "b"})", "repeats the key 'prompt'"},
           {R"({"prompt": 5})", "key 'prompt': expected a string"},
           {"{\"prompt\": \"\xff\"}", "not valid JSON"},
           {R"({"promt": "a"})", "unknown key 'promt'; did you mean 'prompt'?"},
           {R"({"messages": "a"})", "key 'messages': expected an array"},
           {R"({"messages": []})", "expected one message or more"},
           {R"({"messages": ["a"]})", "key 'messages': expected an object with the key 'role'"},
           {R"({"messages": [{"content": "a"}]})", "key 'role' is missing"},
           {R"({"prompt": "a", "id": 1.5})", "key 'id'"},
           {R"({"prompt": "a", "id": []})", "key 'id'"},
           {R"({"prompt": "a", "seed": -1})", "from 0 on, found -1"},
           {R"({"prompt": "a", "seed": "1"})", "key 'seed': expected an integer"},
           {R"({"prompt": "a", "seed": 99999999999999999999})", "key 'seed': expected an integer"},
           {R"({"prompt": "a", "max_tokens": 0})", "from 1 on, found 0"},
           {R"({"prompt": "a", "max_tokens": 1.5})", "key 'max_tokens'"},
           {R"({"prompt": "a", "stop": ""})", "found an empty one"},
           {R"({"prompt": "a", "stop": ["x", ""]})", "found an empty one"},
           {R"({"prompt": "a", "stop": [5]})", "key 'stop'"},
           {R"({"prompt": "a", "stop": {}})", "key 'stop'"},
           {deep, "nested deeper"},
       }) {
    expect_error(ErrorKind::bad_input, "line 3: ", [&] {
      parse_batch(fmt::format("{{\"prompt\": \"fine\"}}\n\n{}\n", each.line));
    });
    expect_error(ErrorKind::bad_input, each.part, [&] { parse_batch(each.line); });
  }
}

class BatchPrompts : public testing::Test {
 protected:
  std::vector<TextPrompt> encode(const std::string& file) const {
    return encode_batch(parse_batch(file),
                        {encoder_, &form_, model_.architecture(), 11, {"default"}});
  }

  TextEncoder encoder_ = TextEncoder::load(test::source_path("models/docs-llama"));
  Model model_ = Model::open(test::source_path("models/docs-llama"));
  ChatTemplate form_ = ChatTemplate::parse("{{ messages[0].content }}<|pad|>{{ messages[1].x }}");
};

TEST_F(BatchPrompts, HaveTheirOwnSettingsOrThoseOfTheRun) {
  const std::vector<TextPrompt> prompts = encode(
      "{\"prompt\": \"The command\"}\n"
      "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}, {\"role\": \"a\", \"x\": 1}], "
      "\"seed\": 3, \"max_tokens\": 4, \"stop\": []}");
  ASSERT_EQ(prompts.size(), 2U);
  EXPECT_EQ(prompts[0].prompt.tokens, encoder_.encode("The command"));
  EXPECT_EQ(prompts[0].prompt.seed, 11U);
  EXPECT_EQ(prompts[0].prompt.max_tokens, std::nullopt);
  EXPECT_THAT(prompts[0].stop_strings, ElementsAre("default"));
  EXPECT_EQ(encoder_.tokenizer().decode(prompts[1].prompt.tokens, false), "Hi<|pad|>1");
  EXPECT_EQ(prompts[1].prompt.seed, 3U);
  EXPECT_EQ(prompts[1].prompt.max_tokens, 4);
  EXPECT_THAT(prompts[1].stop_strings, ElementsAre());
}

TEST_F(BatchPrompts, AreRefusedByTheLineToo) {
  std::string much;
  for (int i = 0; i < 300; ++i) much += "word ";
  expect_error(ErrorKind::bad_input, "line 2: the prompt has",
               [&] { encode(fmt::format("{{\"prompt\": \"a\"}}\n{{\"prompt\": \"{}\"}}", much)); });
  expect_error(ErrorKind::bad_input, "line 1: chat template: line 1: ", [&] {
    encode(R"({"messages": [{"role": "user", "content": "a"}]})");
  });
}

}  // namespace
}  // namespace terse
