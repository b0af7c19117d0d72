#include "terse/tokenizer/continuation.h"

#include <gtest/gtest.h>

#include "support/paths.h"
#include "terse/tokenizer/text_encoder.h"

namespace terse {
namespace {

// Cuts the ids of a text everywhere: what is decoded behind the cut completes what is before it.
void expect_completion(const Tokenizer& tokenizer, const std::vector<std::int32_t>& ids) {
  const std::string whole = tokenizer.decode(ids);
  for (std::size_t cut = 0; cut <= ids.size(); ++cut) {
    const std::span all(ids);
    const std::string before = tokenizer.decode(all.first(cut));
    // A cut inside a character leaves a replacement character that the whole text does not have.
    if (!whole.starts_with(before)) continue;
    EXPECT_EQ(before + decode_continuation(tokenizer, all.first(cut), all.subspan(cut)), whole)
        << "cut at " << cut;
  }
}

TEST(Continuation, CompletesTheTextOfAByteLevelVocabulary) {
  const TextEncoder encoder = TextEncoder::load(test::source_path("models/docs-llama"));
  expect_completion(encoder.tokenizer(),
                    encoder.encode("It isn't slow: naïve café 日本語 🙂 x_y-z"));
}

TEST(Continuation, KeepsTheSpaceBetweenWordsOfASentencepieceVocabulary) {
  const auto model = test::shared_path("models/stories260K");
  if (!std::filesystem::exists(model)) GTEST_SKIP() << "shared data is absent: stories260K";
  const TextEncoder encoder = TextEncoder::load(model);
  expect_completion(encoder.tokenizer(), encoder.encode("Once upon a time, there was a girl."));
}

TEST(Continuation, EndsBeforeAStopStringThatSpansTokens) {
  const TextEncoder encoder = TextEncoder::load(test::source_path("models/docs-llama"));
  const std::vector<std::int32_t> prompt = encoder.encode("It isn't");
  const std::string text = " slow: naïve café 日本語 🙂 x_y-z";
  const std::vector<std::int32_t> ids = encoder.tokenizer().encode(text, false);
  for (const std::string stop : {"w: na", "é 日本", "\x9c", "🙂", "z"}) {
    StoppedContinuation continuation(encoder.tokenizer(), prompt, {stop});
    std::string written;
    for (const std::int32_t id : ids) written += continuation.push(id);
    written += continuation.finish();
    EXPECT_EQ(continuation.found(), stop);
    EXPECT_EQ(written, text.substr(0, text.find(stop)));
  }
}

TEST(Continuation, ATokenReadsAsWithinAText) {
  const TextEncoder encoder = TextEncoder::load(test::source_path("models/docs-llama"));
  const Tokenizer& tokenizer = encoder.tokenizer();
  EXPECT_EQ(token_text(tokenizer, tokenizer.encode(" the", false).at(0)), " the");
  EXPECT_EQ(token_text(tokenizer, 0), "<|endoftext|>");
  EXPECT_EQ(token_text(tokenizer, 1 << 20), "");
  const auto bytes = tokenizer.encode("🙂", false);
  ASSERT_GT(bytes.size(), 1U);
  EXPECT_EQ(token_text(tokenizer, bytes[0]), "\ufffd");
}

TEST(Continuation, ATokenOfASentencepieceVocabularyKeepsItsSpace) {
  const auto model = test::shared_path("models/stories260K");
  if (!std::filesystem::exists(model)) GTEST_SKIP() << "shared data is absent: stories260K";
  const Tokenizer tokenizer = TextEncoder::load(model).tokenizer();
  const auto ids = tokenizer.encode("a the", false);
  std::string text;
  for (const std::int32_t id : ids) text += token_text(tokenizer, id);
  EXPECT_EQ(text, " a the");
}

}  // namespace
}  // namespace terse
