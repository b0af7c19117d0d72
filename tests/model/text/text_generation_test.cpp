// Texts that grow behind prompts, and where stop strings end them.
#include "terse/model/text/text_generation.h"

#include <gtest/gtest.h>

#include "support/paths.h"
#include "terse/tokenizer/text_encoder.h"

namespace terse {
namespace {

class TextGeneration : public testing::Test {
 protected:
  static const Model& model() {
    static const Model loaded = Model::load(test::source_path("models/docs-llama"));
    return loaded;
  }
  static const TextEncoder& encoder() {
    static const TextEncoder loaded = TextEncoder::load(test::source_path("models/docs-llama"));
    return loaded;
  }

  static TextPrompt prompt(const std::string& text, std::vector<std::string> stops = {}) {
    return {{encoder().encode(text)}, std::move(stops)};
  }

  static GenerationOptions options() {
    GenerationOptions made;
    made.max_tokens = 60;
    return made;
  }

  static GeneratedText generated(const TextPrompt& prompt) {
    return generate_texts(model(), encoder().tokenizer(), {prompt}, options()).front();
  }
};

TEST_F(TextGeneration, GivesTheTextOfTheTokens) {
  const TextPrompt from = prompt("The command");
  const GeneratedText made = generated(from);
  EXPECT_EQ(made.text, encoder().tokenizer().decode(made.continuation.tokens));
  EXPECT_EQ(made.continuation.tokens.size(), 60U);
  EXPECT_FALSE(made.stopped());
}

TEST_F(TextGeneration, EndsBeforeAnyPartOfItsOwnTextThatIsAStopString) {
  const GeneratedText whole = generated(prompt("The command"));
  for (std::size_t at = 0; at + 9 < whole.text.size(); at += 37) {
    for (const std::size_t size : {1U, 4U, 9U}) {
      const std::string stop = whole.text.substr(at, size);
      const GeneratedText made = generated(prompt("The command", {"not there", stop}));
      EXPECT_EQ(made.text, whole.text.substr(0, whole.text.find(stop)));
      EXPECT_EQ(made.stop_string, stop);
      EXPECT_TRUE(made.stopped());
      EXPECT_EQ(made.continuation.end, EndReason::callback);
      EXPECT_LT(made.continuation.tokens.size(), whole.continuation.tokens.size());
    }
  }
}

TEST_F(TextGeneration, StreamsPiecesOfTheTextAndNothingOfAStopString) {
  const GeneratedText whole = generated(prompt("The command"));
  const std::string stop = whole.text.substr(50, 7);
  const std::vector<TextPrompt> both{prompt("The command", {stop}), prompt("A file")};
  std::vector<std::string> streamed(2);
  std::vector<std::string> ended(2);
  TextCallbacks callbacks;
  callbacks.on_text = [&](std::size_t index, std::string_view piece) {
    EXPECT_FALSE(piece.empty());
    EXPECT_EQ(ended[index], "");
    streamed[index] += piece;
  };
  callbacks.on_end = [&](std::size_t index, const GeneratedText& made) {
    ended[index] = made.text;
  };
  const std::vector<GeneratedText> made =
      generate_texts(model(), encoder().tokenizer(), both, options(), callbacks);
  EXPECT_EQ(made[0].stop_string, stop);
  EXPECT_EQ(made[1].text, generated(both[1]).text);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(streamed[i], made[i].text);
    EXPECT_EQ(ended[i], made[i].text);
  }
}

TEST_F(TextGeneration, AnInterruptionEndsTheText) {
  TextCallbacks callbacks;
  int asked = 0;
  callbacks.interrupted = [&] { return ++asked == 5; };
  Session session(model());
  const GeneratedText made =
      generate_text(session, encoder().tokenizer(), prompt("The command"), options(), callbacks);
  EXPECT_EQ(made.continuation.tokens.size(), 5U);
  EXPECT_EQ(made.text, encoder().tokenizer().decode(made.continuation.tokens));
  EXPECT_FALSE(made.stopped());
}

TEST_F(TextGeneration, AStopTokenAtOnceGivesAnEmptyText) {
  GenerationOptions stopping = options();
  stopping.stop_tokens = {generated(prompt("The command")).continuation.tokens[0]};
  const GeneratedText made =
      generate_texts(model(), encoder().tokenizer(), {prompt("The command")}, stopping).front();
  EXPECT_EQ(made.text, "");
  EXPECT_TRUE(made.stopped());
  EXPECT_EQ(made.stop_string, std::nullopt);
}

}  // namespace
}  // namespace terse
