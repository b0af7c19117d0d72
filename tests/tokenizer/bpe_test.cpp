// Byte-pair encoding against its definition, and its options one by one.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "terse/core/error.h"
#include "terse/tokenizer/bpe.h"
#include "tokenizer/support.h"

namespace terse::test {
namespace {

using Tokens = std::vector<std::string>;
using Merges = std::vector<std::pair<std::string, std::string>>;

Json json_of(const Merges& merges) {
  Json json = Json::array();
  for (const auto& [left, right] : merges) json.push_back({left, right});
  return json;
}

// The definition, a merge at a time over the whole text: as slow as it is plain.
Tokens by_definition(const std::string& text, const Merges& merges) {
  Tokens tokens;
  for (const char character : text) tokens.emplace_back(1, character);
  for (bool merged = true; merged;) {
    merged = false;
    for (const auto& [left, right] : merges) {
      for (std::size_t i = 0; i + 1 < tokens.size() && !merged; ++i) {
        if (tokens[i] != left || tokens[i + 1] != right) continue;
        tokens[i] += right;
        tokens.erase(tokens.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        merged = true;
      }
      if (merged) break;
    }
  }
  return tokens;
}

// Random merges over a small alphabet, so that they overlap in every way.
Merges random_merges(std::mt19937& random, std::size_t count, Tokens& tokens) {
  Merges merges;
  while (merges.size() < count) {
    std::uniform_int_distribution<std::size_t> pick(0, tokens.size() - 1);
    const std::pair merge(tokens[pick(random)], tokens[pick(random)]);
    const std::string merged = merge.first + merge.second;
    if (merged.size() > 8 || std::find(merges.begin(), merges.end(), merge) != merges.end()) {
      continue;
    }
    merges.push_back(merge);
    if (std::find(tokens.begin(), tokens.end(), merged) == tokens.end()) tokens.push_back(merged);
  }
  return merges;
}

// Lengths on both sides of where the queue of merges begins to be used, and of where long pieces
// are cut.
TEST(Bpe, AgreesWithItsDefinition) {
  std::mt19937 random(1);
  for (int round = 0; round < 60; ++round) {
    Tokens tokens{"a", "b", "c"};
    const Merges merges = random_merges(random, 4 + static_cast<std::size_t>(round) % 12, tokens);
    const auto tokenizer = Tokenizer::parse(bpe_json(vocab_of(tokens), json_of(merges)));
    for (const std::size_t length : {1U, 2U, 7U, 47U, 48U, 49U, 60U, 127U, 128U, 129U, 300U}) {
      std::string text;
      for (std::size_t i = 0; i < length; ++i) text += "abc"[random() % 3];
      EXPECT_EQ(tokens_of(tokenizer, text), by_definition(text, merges)) << text;
    }
  }
}

TEST(Bpe, LongPiecesMayBeCutWhereNoMergeReaches) {
  const Json json = bpe_json(vocab_of({"a", "b", "c", "ab", "u"}), json_of({{"a", "b"}}));
  const Bpe plain(json["model"]);
  EXPECT_EQ(plain.independent_prefix("abab"), 2U);  // b and a are neighbours in no token
  EXPECT_EQ(plain.independent_prefix("ab"), 2U);
  EXPECT_EQ(plain.independent_prefix("caa"), 1U);
  // An unknown character that gives no token makes its neighbours meet.
  EXPECT_EQ(plain.independent_prefix("a?b"), 3U);
  Json with_unknown = json["model"];
  with_unknown["unk_token"] = "u";
  EXPECT_EQ(Bpe(with_unknown).independent_prefix("a?b"), 1U);
  EXPECT_EQ(Bpe(with_unknown).independent_prefix("??b"), 2U);  // ?? may be one token
  with_unknown["ignore_merges"] = true;
  EXPECT_EQ(Bpe(with_unknown).independent_prefix("a?b"), 3U);
}

TEST(Bpe, LongTextIsEncodedPartByPartAsAWhole) {
  const Json json = bpe_json(vocab_of({"a", "b", "ab", "u"}), json_of({{"a", "b"}}),
                             {{"unk_token", "u"}, {"fuse_unk", true}});
  std::string text;
  Tokens expected;
  for (int i = 0; i < 200; ++i) {
    text += "ab???a";
    for (const char* token : {"ab", "u", "a"}) expected.emplace_back(token);
  }
  EXPECT_EQ(tokens_of(Tokenizer::parse(json), text), expected);
}

TEST(Bpe, RunsOfOneCharacterAreNotQuadratic) {
  const auto tokenizer = Tokenizer::parse(
      bpe_json(vocab_of({"a", "aa", "aaaa"}), json_of({{"a", "a"}, {"aa", "aa"}})));
  const std::string text(std::size_t{1} << 20, 'a');  // would be 10^12 steps
  EXPECT_EQ(tokenizer.encode(text), Ids(text.size() / 4, 2));
}

TEST(Bpe, MergesAsStringsOrPairs) {
  const Json vocab = vocab_of({"a", "b", "ab", " ", "  "});
  EXPECT_EQ(Tokenizer::parse(bpe_json(vocab, {"a b"})).encode("ab"), Ids{2});
  EXPECT_EQ(Tokenizer::parse(bpe_json(vocab, json_of({{"a", "b"}}))).encode("ab"), Ids{2});
  // "   " can only be a space and a space.
  EXPECT_EQ(Tokenizer::parse(bpe_json(vocab, {"   "})).encode("  "), Ids{4});
}

TEST(Bpe, LaterMergeOfTheSamePairWins) {
  const Json vocab = vocab_of({"a", "b", "c", "ab", "bc"});
  EXPECT_EQ(Tokenizer::parse(bpe_json(vocab, {"a b", "b c"})).encode("abc"), (Ids{3, 2}));
  EXPECT_EQ(Tokenizer::parse(bpe_json(vocab, {"a b", "b c", "a b"})).encode("abc"), (Ids{0, 4}));
}

TEST(Bpe, IgnoreMergesTakesWholeWords) {
  const Json vocab = vocab_of({"a", "b", "ab", "aab"});
  EXPECT_EQ(Tokenizer::parse(bpe_json(vocab, {"a b"})).encode("aab"), (Ids{0, 2}));
  EXPECT_EQ(Tokenizer::parse(bpe_json(vocab, {"a b"}, {{"ignore_merges", true}})).encode("aab"),
            Ids{3});
}

TEST(Bpe, UnknownCharactersVanishWithoutAnUnknownToken) {
  const auto tokenizer = Tokenizer::parse(bpe_json(vocab_of({"a", "b", "ab"}), {"a b"}));
  EXPECT_EQ(tokenizer.encode("a?b"), Ids{2});
}

TEST(Bpe, UnknownCharactersAreFusedOnRequest) {
  const Json vocab = vocab_of({"u", "a"});
  EXPECT_EQ(Tokenizer::parse(bpe_json(vocab, Json::array(), {{"unk_token", "u"}})).encode("a??a?"),
            (Ids{1, 0, 0, 1, 0}));
  EXPECT_EQ(
      Tokenizer::parse(bpe_json(vocab, Json::array(), {{"unk_token", "u"}, {"fuse_unk", true}}))
          .encode("a??a?"),
      (Ids{1, 0, 1, 0}));
}

TEST(Bpe, ByteFallbackNeedsEveryByte) {
  // U+00E9 is C3 A9, U+00E8 is C3 A8: the second byte of U+00E8 is missing.
  const Json vocab = vocab_of({"u", "a", "<0xC3>", "<0xA9>"});
  const Json options{{"unk_token", "u"}, {"byte_fallback", true}};
  const auto plain = Tokenizer::parse(bpe_json(vocab, Json::array(), options));
  EXPECT_EQ(plain.encode("a\u00e9a"), (Ids{1, 2, 3, 1}));
  EXPECT_EQ(plain.encode("a\u00e8\u00e8a"), (Ids{1, 0, 0, 1}));
  Json fused_options = options;
  fused_options["fuse_unk"] = true;
  const auto fused = Tokenizer::parse(bpe_json(vocab, Json::array(), fused_options));
  EXPECT_EQ(fused.encode("a\u00e8\u00e8a"), (Ids{1, 0, 1}));
  // As the reference: a waiting unknown token follows the bytes after it, and fuses across them.
  EXPECT_EQ(fused.encode("\u00e8\u00e9a"), (Ids{2, 3, 0, 1}));
  EXPECT_EQ(fused.encode("\u00e8\u00e9\u00e8a"), (Ids{2, 3, 0, 1}));
}

TEST(Bpe, ByteTokensMayBeMerged) {
  const Json vocab = vocab_of({"u", "a", "<0xC3>", "<0xA9>", "<0xC3><0xA9>"});
  const auto tokenizer =
      Tokenizer::parse(bpe_json(vocab, json_of({{"<0xC3>", "<0xA9>"}}), {{"byte_fallback", true}}));
  std::string text;
  for (int i = 0; i < 100; ++i) text += "a\u00e9";
  Ids expected;
  for (int i = 0; i < 100; ++i) expected.insert(expected.end(), {1, 4});
  EXPECT_EQ(tokenizer.encode(text), expected);
}

TEST(Bpe, PrefixAndSuffixOfWords) {
  const Json vocab = vocab_of({"a", "##b", "##c</w>", "ab", "abc</w>", "a</w>"});
  const auto tokenizer = Tokenizer::parse(
      bpe_json(vocab, json_of({{"a", "##b"}, {"ab", "##c</w>"}}),
               {{"continuing_subword_prefix", "##"}, {"end_of_word_suffix", "</w>"}}));
  EXPECT_EQ(tokenizer.encode("abc"), Ids{4});
  EXPECT_EQ(tokenizer.encode("a"), Ids{5});
}

TEST(Bpe, ModelWithoutTypeIsRecognised) {
  Json json = bpe_json(vocab_of({"a"}), Json::array());
  json["model"].erase("type");
  EXPECT_EQ(Tokenizer::parse(json).encode("aa"), (Ids{0, 0}));
}

}  // namespace
}  // namespace terse::test
