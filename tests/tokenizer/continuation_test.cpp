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

}  // namespace
}  // namespace terse
