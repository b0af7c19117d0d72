// The unigram model against all ways to cut a text.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

#include "terse/core/error.h"
#include "tokenizer/support.h"

namespace terse::test {
namespace {

using Scores = std::vector<std::pair<std::string, double>>;

Json unigram_json(const Scores& vocab, const Json& options = {}) {
  Json json{{"model", {{"type", "Unigram"}, {"vocab", Json::array()}}}};
  for (const auto& [token, score] : vocab) json["model"]["vocab"].push_back({token, score});
  if (!options.is_null()) json["model"].update(options);
  return json;
}

// The best score of any way to cut `text`, by trying all of them.
double best_score(const std::string& text, const std::map<std::string, double>& scores) {
  if (text.empty()) return 0;
  double best = -INFINITY;
  for (std::size_t length = 1; length <= text.size(); ++length) {
    const auto found = scores.find(text.substr(0, length));
    if (found == scores.end()) continue;
    best = std::max(best, found->second + best_score(text.substr(length), scores));
  }
  return best;
}

TEST(Unigram, FindsTheBestOfAllCuts) {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> score(-9, -1);
  for (int round = 0; round < 40; ++round) {
    Scores vocab{{"<unk>", 0}, {"a", score(random)}, {"b", score(random)}};
    for (int i = 0; i < 12; ++i) {
      std::string token;
      for (std::size_t k = 0; k < 2 + random() % 4; ++k) token += "ab"[random() % 2];
      vocab.emplace_back(token, score(random));
    }
    std::map<std::string, double> scores;
    for (const auto& [token, value] : vocab) scores[token] = value;  // the last one counts
    const auto tokenizer = Tokenizer::parse(unigram_json(vocab, {{"unk_id", 0}}));
    std::string text;
    for (int i = 0; i < 14; ++i) text += "ab"[random() % 2];
    double found = 0;
    std::string joined;
    for (const std::string& token : tokens_of(tokenizer, text)) {
      found += scores.at(token);
      joined += token;
    }
    EXPECT_EQ(joined, text);
    EXPECT_NEAR(found, best_score(text, scores), 1e-9) << text;
  }
}

TEST(Unigram, ReferenceExample) {
  // From the documentation of the reference's Unigram::encode.
  const auto tokenizer = Tokenizer::parse(unigram_json({{"<unk>", 0},
                                                        {"a", 0},
                                                        {"b", 0},
                                                        {"c", 0},
                                                        {"d", 0},
                                                        {"cd", 1},
                                                        {"ab", 2},
                                                        {"abc", 5},
                                                        {"abcd", 10}},
                                                       {{"unk_id", 0}}));
  EXPECT_EQ(tokenizer.encode("abcdacdxx"), (Ids{8, 1, 5, 0}));
}

TEST(Unigram, UnknownRunsBecomeBytesOnlyWhenAllAreThere) {
  const Scores vocab{{"<unk>", 0}, {"a", -1}, {"<0xC3>", -5}, {"<0xA9>", -5}};
  const auto tokenizer =
      Tokenizer::parse(unigram_json(vocab, {{"unk_id", 0}, {"byte_fallback", true}}));
  EXPECT_EQ(tokenizer.encode("a\u00e9\u00e9a"), (Ids{1, 2, 3, 2, 3, 1}));
  EXPECT_EQ(tokenizer.encode("a\u00e9\u00e8a"), (Ids{1, 0, 1}));  // one run, one missing byte
  EXPECT_EQ(Tokenizer::parse(unigram_json(vocab, {{"unk_id", 0}})).encode("a\u00e9\u00e9a"),
            (Ids{1, 0, 1}));
}

TEST(Unigram, MissingUnknownTokenIsAnErrorOnlyWhenNeeded) {
  const auto tokenizer = Tokenizer::parse(unigram_json({{"a", -1}}));
  EXPECT_EQ(tokenizer.encode("aa"), (Ids{0, 0}));
  EXPECT_THROW(tokenizer.encode("b"), Error);
}

TEST(Unigram, ModelWithoutTypeIsRecognised) {
  Json json = unigram_json({{"a", -1}});
  json["model"].erase("type");
  EXPECT_EQ(Tokenizer::parse(json).encode("aa"), (Ids{0, 0}));
}

}  // namespace
}  // namespace terse::test
