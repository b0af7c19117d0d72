// terse run --chat, and the program at a terminal.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "apps/files.h"
#include "apps/program.h"
#include "apps/terminal_program.h"
#include "apps/tiny_model.h"
#include "support/temporary_directory.h"

namespace terse::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;
using Words = std::vector<std::string>;

// All its characters have tokens in the tiny model.
constexpr const char* kTemplate =
    "{{ bos_token }}{% for m in messages %}{% if m.content == 'forbidden' %}"
    "{{ raise_exception('The template forbids it') }}{% endif %}"
    "{{ m.role }} {{ m.content }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}assistant {% endif %}";

class RunChat : public testing::Test {
 protected:
  void SetUp() override {
    write_tiny_model(model_);
    write_text(model_ / "chat_template.jinja", kTemplate);
    // Answers of random weights would end after a few tokens.
    write_text(model_ / "generation_config.json", json{{"eos_token_id", json::array()}}.dump());
    write_text(model_ / "tokenizer_config.json", R"({"bos_token": "<s>", "add_bos_token": true})");
  }

  Words words(Words arguments) const {
    arguments.insert(arguments.begin(), {"run", model_});
    return arguments;
  }

  ProgramResult run(const Words& arguments, const ProgramSetting& setting = {}) const {
    return run_terse(words(arguments), setting);
  }

  // The answer to messages that are given all at once.
  std::string answer_to(const std::vector<json>& messages) const {
    const ProgramResult result =
        run({"--batch", "-", "--max-tokens", "12"}, {.input = json{{"messages", messages}}.dump()});
    expect_done(result);
    return result.json().at("text");
  }

  static json message(const std::string& role, const std::string& content) {
    return {{"role", role}, {"content", content}};
  }

  TemporaryDirectory directory_;
  fs::path model_ = directory_ / "m";
};

TEST_F(RunChat, AnswersAMessageInTheFormOfTheTemplate) {
  const std::string answer = answer_to({message("user", "hello")});
  const ProgramResult result = run({"--chat", "--prompt", "hello", "--max-tokens", "12"});
  expect_done(result);
  EXPECT_EQ(result.out, answer + "\n");
  const ProgramResult plain = run({"--prompt", "user hello</s>\nassistant ", "--max-tokens", "12"});
  EXPECT_EQ(plain.out, "user hello</s>\nassistant " + answer + "\n");
  const ProgramResult told = run({"--chat", "--prompt", "hello", "--max-tokens", "12", "--json"});
  EXPECT_EQ(told.json().at("results")[0].at("text"), answer);
  EXPECT_EQ(told.json().at("results")[0].at("prompt_tokens"), 1 + 10 + 1 + 1 + 10);
}

TEST_F(RunChat, ReadsOneMessageFromStandardInput) {
  const ProgramResult piped = run({"--chat", "--max-tokens", "12"}, {.input = "hello\n"});
  expect_done(piped);
  EXPECT_EQ(piped.out, answer_to({message("user", "hello")}) + "\n");
  const ProgramResult lines = run({"--chat", "--max-tokens", "12"}, {.input = "a\nb\n"});
  EXPECT_EQ(lines.out, answer_to({message("user", "a\nb")}) + "\n");
}

TEST_F(RunChat, TheSystemSpeaksFirst) {
  const ProgramResult result =
      run({"--chat", "--system", "be brief", "--prompt", "hello", "--max-tokens", "12"});
  expect_done(result);
  EXPECT_EQ(result.out,
            answer_to({message("system", "be brief"), message("user", "hello")}) + "\n");
}

TEST_F(RunChat, AnswersSeveralMessagesEachByItself) {
  const ProgramResult result =
      run({"--chat", "--prompt", "hello", "--prompt", "you there", "--max-tokens", "12"});
  expect_done(result);
  EXPECT_EQ(result.out, "hello\n" + answer_to({message("user", "hello")}) + "\n\nyou there\n" +
                            answer_to({message("user", "you there")}) + "\n\n");
}

TEST_F(RunChat, WithoutATemplateItSaysWhatToDo) {
  fs::remove(model_ / "chat_template.jinja");
  expect_refused(run({"--chat", "--prompt", "hello"}), 3, {"no chat template", "use --prompt"});
  expect_refused(run({"--batch", "-"}, {.input = R"({"messages": [{"role": "user"}]})"}), 3,
                 {"no chat template"});
  expect_refused(run({"--prompt", "a", "--system", "b"}), 2, {"--system requires --chat"});
}

TEST_F(RunChat, ATemplateThatRefusesMessagesHasTheLastWord) {
  expect_refused(run({"--chat", "--prompt", "forbidden"}), 3, {"The template forbids it"});
}

TEST_F(RunChat, HoldsAConversationAtATerminal) {
  TerminalProgram program(words({"--chat", "--max-tokens", "12", "--system", "be brief"}));
  std::vector<json> messages{message("system", "be brief")};
  EXPECT_THAT(program.read_until("\n> "), HasSubstr("/reset begins anew"));
  for (const std::string said : {"hello", "why", "and a third time"}) {
    messages.push_back(message("user", said));
    const std::string expected = answer_to(messages);
    program.type(said + "\n");
    EXPECT_EQ(program.read_until("\n["), expected);
    EXPECT_THAT(program.read_until("\n> "), HasSubstr("cut off after 12 tokens"));
    messages.push_back(message("assistant", expected));
  }
  program.type("/reset\n");
  program.read_until("> ");
  program.type("\n");  // nothing is said
  program.read_until("> ");
  program.type("hello\n");
  EXPECT_EQ(program.read_until("\n["),
            answer_to({message("system", "be brief"), message("user", "hello")}));
  program.read_until("> ");
  program.type("/exit\n");
  EXPECT_EQ(program.wait(), 0);
}

TEST_F(RunChat, AMessageThatIsRefusedDoesNotEndTheConversation) {
  TerminalProgram program(words({"--chat", "--max-tokens", "12"}));
  program.read_until("> ");
  program.type("forbidden\n");
  EXPECT_THAT(program.read_until("\n> "), HasSubstr("terse: The template forbids it"));
  program.type(tiny_text(300) + "\n");
  EXPECT_THAT(program.read_until("\n> "), HasSubstr("the model's context is 256"));
  program.type("hello\n");
  EXPECT_EQ(program.read_until("\n["), answer_to({message("user", "hello")}));
  program.read_until("> ");
  program.type("\x04");  // the end of input
  EXPECT_EQ(program.wait(), 0);
}

TEST_F(RunChat, WithoutChatEveryLineIsATextToContinue) {
  TerminalProgram program(words({"--max-tokens", "12"}));
  EXPECT_THAT(program.read_until("\n> "), HasSubstr("Every line is a text to continue"));
  for (const std::string line : {"abc", "Zebra 1", "abc"}) {
    program.type(line + "\n");
    const ProgramResult alone = run({"--prompt", line, "--max-tokens", "12"});
    EXPECT_EQ(line + program.read_until("\n["), alone.out.substr(0, alone.out.size() - 1));
    program.read_until("> ");
  }
  program.type("/exit\n");
  EXPECT_EQ(program.wait(), 0);
}

TEST_F(RunChat, CtrlCEndsAnAnswerAndAtThePromptTheProgram) {
  json config = tiny_config();
  config["max_position_embeddings"] = 40000;
  write_text(model_ / "config.json", config.dump());
  TerminalProgram program(words({"--chat", "--max-tokens", "30000"}));
  program.read_until("> ");
  program.type("hello\n");
  program.read_until(answer_to({message("user", "hello")}));
  program.type("\x03");
  // No word of a limit before the next prompt.
  EXPECT_THAT(program.read_until("> "), testing::Not(HasSubstr("cut off")));
  program.type("\x03");
  EXPECT_EQ(program.wait(), -SIGINT);
}

}  // namespace
}  // namespace terse::test
