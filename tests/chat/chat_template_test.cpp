// Which template of a model directory is taken, and what it sees.
#include "terse/chat/chat_template.h"

#include <gtest/gtest.h>

#include <fstream>

#include "support/expect_error.h"
#include "support/temporary_directory.h"

namespace terse::test {
namespace {

class ModelDirectory {
 public:
  ModelDirectory& file(const std::string& name, const std::string& text) {
    std::ofstream(directory_ / name) << text;
    return *this;
  }
  const std::filesystem::path& path() const { return directory_.path(); }
  std::string render(const OrderedJson& extra = OrderedJson::object()) const {
    return ChatTemplate::open(path()).render(messages(), true, extra);
  }
  static OrderedJson messages() {
    return OrderedJson::array({{{"role", "user"}, {"content", "Hi"}}});
  }

 private:
  TemporaryDirectory directory_;
};

const std::string kBoth = R"({"chat_template": "config {{ bos_token }}", "bos_token": "<s>"})";

TEST(ChatTemplate, ItsOwnFileComesFirst) {
  ModelDirectory model;
  model.file("tokenizer_config.json", kBoth)
      .file("chat_template.jinja", "own {{ bos_token }}\n")
      .file("chat_template.json", R"({"chat_template": "json"})");
  EXPECT_EQ(model.render(), "own <s>");
}

TEST(ChatTemplate, ThenThatOfTheTokenizer) {
  ModelDirectory model;
  model.file("tokenizer_config.json", kBoth)
      .file("chat_template.json", R"({"chat_template": "json"})");
  EXPECT_EQ(model.render(), "config <s>");
}

TEST(ChatTemplate, ThenThatOfTheProcessor) {
  ModelDirectory model;
  model.file("chat_template.json", R"({"chat_template": "json {{ bos_token }}"})");
  EXPECT_EQ(model.render(), "json ");
  model.file("tokenizer_config.json", R"({"bos_token": "<s>", "chat_template": null})");
  EXPECT_EQ(model.render(), "json <s>");
}

TEST(ChatTemplate, OneOfSeveral) {
  ModelDirectory model;
  model.file("tokenizer_config.json", R"({"chat_template": [
      {"name": "rag", "template": "rag"}, {"name": "tool_use", "template": "tools"},
      {"name": "default", "template": "plain"}]})");
  EXPECT_EQ(model.render(), "plain");
  EXPECT_EQ(model.render({{"tools", nullptr}}), "plain");
  EXPECT_EQ(model.render({{"tools", OrderedJson::array()}}), "tools");
  model.file("tokenizer_config.json", R"({"chat_template": [{"name": "rag", "template": "rag"}]})");
  EXPECT_EQ(model.render(), "rag");
  model.file("tokenizer_config.json", R"({"chat_template": [
      {"name": "a", "template": "a"}, {"name": "b", "template": "b"}]})");
  expect_error(ErrorKind::bad_input, "none of the model's 2 chat templates is called 'default'",
               [&] { model.render(); });
}

TEST(ChatTemplate, SpecialTokens) {
  ModelDirectory model;
  model
      .file("chat_template.jinja",
            "{{ bos_token }}{{ eos_token }}{{ unk_token is defined }}{{ pad_token is defined }}")
      .file("tokenizer_config.json", R"({"bos_token": {"content": "<b>", "lstrip": false},
             "eos_token": "</e>", "pad_token": null})");
  EXPECT_EQ(model.render(), "<b></e>FalseFalse");
  EXPECT_EQ(model.render({{"bos_token", "X"}}), "X</e>FalseFalse");
}

TEST(ChatTemplate, VariablesThatAreAlwaysThere) {
  const ChatTemplate text = ChatTemplate::parse(
      "{{ messages[0].content }} {{ add_generation_prompt }} {{ tools is none }} "
      "{{ documents is none }} {{ more is defined }}");
  EXPECT_EQ(text.render(ModelDirectory::messages(), false), "Hi False True True False");
  EXPECT_EQ(text.render(ModelDirectory::messages(), true, {{"tools", {1}}, {"more", 1}}),
            "Hi True False True True");
}

TEST(ChatTemplate, ClockIsLocalTime) {
  const std::string year =
      ChatTemplate::parse("{{ strftime_now('%Y') }}").render(OrderedJson::array(), false);
  EXPECT_GE(std::stoi(year), 2024);
}

TEST(ChatTemplate, WithoutTemplateTheErrorSaysWhatToDo) {
  ModelDirectory model;
  expect_error(ErrorKind::bad_input, "use --prompt without a chat",
               [&] { ChatTemplate::open(model.path()); });
  model.file("tokenizer_config.json", "{}").file("chat_template.json", "{}");
  expect_error(ErrorKind::bad_input, model.path().string() + ": the model has no chat template",
               [&] { ChatTemplate::open(model.path()); });
}

TEST(ChatTemplate, ErrorsNameTheFile) {
  ModelDirectory model;
  model.file("tokenizer_config.json", R"({"chat_template": "\n{{ 1 + }}"})");
  expect_error(ErrorKind::bad_input, "tokenizer_config.json: chat_template: line 2: expected",
               [&] { model.render(); });
  model.file("tokenizer_config.json", R"({"chat_template": "{{ x.y }}"})");
  expect_error(ErrorKind::bad_input, "tokenizer_config.json: chat_template: line 1: 'x' is",
               [&] { model.render(); });
  model.file("tokenizer_config.json", R"({"chat_template": 5})");
  expect_error(ErrorKind::bad_input,
               "tokenizer_config.json: key 'chat_template': expected a string",
               [&] { model.render(); });
  model.file("tokenizer_config.json", R"({"chat_template": ["x"]})");
  expect_error(ErrorKind::bad_input, "tokenizer_config.json: expected an object",
               [&] { model.render(); });
  model.file("tokenizer_config.json", R"({"bos_token": 5})");
  expect_error(ErrorKind::bad_input, "tokenizer_config.json: key 'bos_token'",
               [&] { model.render(); });
}

TEST(ChatTemplate, RaisedMessagesStandAlone) {
  const ChatTemplate text = ChatTemplate::parse("{{ raise_exception('No such role') }}");
  try {
    text.render(OrderedJson::array(), false);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "No such role");
  }
}

TEST(ChatTemplate, MessagesAreAList) {
  const ChatTemplate text = ChatTemplate::parse("x");
  expect_error(ErrorKind::bad_input, "messages of a chat are a list",
               [&] { text.render(OrderedJson::object(), false); });
}

}  // namespace
}  // namespace terse::test
