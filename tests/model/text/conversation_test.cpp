// Conversations: what the model sees of them, and that what is kept changes no answer.
#include "terse/model/text/conversation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/paths.h"
#include "terse/tokenizer/text_encoder.h"

namespace terse {
namespace {

using test::expect_error;

constexpr const char* kTemplate =
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}"
    "{{ m.role }}: {{ m.content }}<|pad|>\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}";

class ConversationTest : public testing::Test {
 protected:
  static const Model& model() {
    static const Model loaded = Model::load(test::source_path("models/docs-llama"));
    return loaded;
  }
  static const Tokenizer& tokenizer() {
    static const TextEncoder loaded = TextEncoder::load(test::source_path("models/docs-llama"));
    return loaded.tokenizer();
  }

  static GenerationOptions options() {
    GenerationOptions made;
    made.max_tokens = 20;
    made.sampling.temperature = 0.8;
    made.sampling.seed = 5;
    return made;
  }

  // The answer to messages by themselves.
  std::string alone(const OrderedJson& messages) const {
    const Prompt prompt{encode_chat(form_, tokenizer(), messages), 5};
    return generate_texts(model(), tokenizer(), {{prompt, {}}}, options()).front().text;
  }

  Conversation begun(const std::string& system = "") const {
    return {Session(model()), tokenizer(), form_, system};
  }

  ChatTemplate form_ = ChatTemplate::parse(kTemplate, {{"bos_token", "<|endoftext|>"}});
};

TEST_F(ConversationTest, SpecialTokensOfTheTemplateAreEncodedAsSuchAndTheFirstStandsOnce) {
  OrderedJson messages = first_messages("Be brief.");
  add_message(messages, "user", "Hello");
  const std::vector<std::int32_t> ids = encode_chat(form_, tokenizer(), messages);
  EXPECT_EQ(tokenizer().decode(ids, false),
            "<|endoftext|>system: Be brief.<|pad|>\nuser: Hello<|pad|>\nassistant:");
  EXPECT_EQ(std::ranges::count(ids, 0), 1);
  EXPECT_EQ(ids.front(), 0);
  EXPECT_EQ(std::ranges::count(ids, tokenizer().token_id("<|pad|>").value()), 2);
}

TEST_F(ConversationTest, AnswersAsThoughNothingWereKept) {
  Conversation conversation = begun("Be brief.");
  OrderedJson messages = first_messages("Be brief.");
  for (const std::string message : {"How are files copied?", "Why?", "And then a third one?"}) {
    add_message(messages, "user", message);
    const GeneratedText answer = conversation.answer(message, options(), {});
    EXPECT_EQ(answer.text, alone(messages));
    EXPECT_FALSE(answer.text.empty());
    add_message(messages, "assistant", answer.text);
  }
}

TEST_F(ConversationTest, KeepsAnswersUpToTheirStopString) {
  Conversation whole = begun();
  const std::string text = whole.answer("Name a file.", options(), {}).text;
  const std::string stop = text.substr(text.size() / 2, 4);
  Conversation cut = begun();
  const GeneratedText answer = cut.answer("Name a file.", options(), {stop});
  EXPECT_EQ(answer.text, text.substr(0, text.find(stop)));
  OrderedJson messages = first_messages("");
  add_message(messages, "user", "Name a file.");
  add_message(messages, "assistant", answer.text);
  add_message(messages, "user", "Another.");
  EXPECT_EQ(cut.answer("Another.", options(), {}).text, alone(messages));
}

TEST_F(ConversationTest, BeginsAnewWithTheSystemsMessage) {
  Conversation conversation = begun("Be brief.");
  const std::string first = conversation.answer("Hello", options(), {}).text;
  conversation.answer("What is a file?", options(), {});
  conversation.reset();
  EXPECT_EQ(conversation.answer("Hello", options(), {}).text, first);
}

TEST_F(ConversationTest, IsAsBeforeWhenAnAnswerFails) {
  Conversation conversation = begun();
  OrderedJson messages = first_messages("");
  add_message(messages, "user", "Hello");
  add_message(messages, "assistant", conversation.answer("Hello", options(), {}).text);
  std::string much;
  for (int i = 0; i < 300; ++i) much += "word ";
  expect_error(ErrorKind::bad_input, "the model's context is 256",
               [&] { conversation.answer(much, options(), {}); });
  expect_error(ErrorKind::bad_input, "UTF-8", [&] { conversation.answer("\xff", options(), {}); });
  add_message(messages, "user", "And now?");
  EXPECT_EQ(conversation.answer("And now?", options(), {}).text, alone(messages));
}

TEST_F(ConversationTest, ATemplateMayRefuseMessages) {
  OrderedJson messages = first_messages("");
  add_message(messages, "tool", "x");
  expect_error(ErrorKind::bad_input, "no tools",
               [&] { encode_chat(form_, tokenizer(), messages); });
}

}  // namespace
}  // namespace terse
