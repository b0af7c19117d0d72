// Each kind of decoder, and decoding as a stream.
#include <gtest/gtest.h>

#include <random>

#include "terse/core/error.h"
#include "terse/tokenizer/byte_level.h"
#include "terse/tokenizer/decoder.h"
#include "terse/tokenizer/unicode.h"
#include "tokenizer/support.h"

namespace terse::test {
namespace {

using Strings = std::vector<std::string>;

std::string decode(const Json& part, const Strings& tokens) {
  const Decoder prototype(part);
  std::string joined;
  Decoder decoder(prototype);
  for (const std::string& token : tokens) {
    std::string more;
    decoder.push(token, more);
    EXPECT_TRUE(is_utf8(more)) << "a character was split after " << token;
    joined += more;
  }
  decoder.finish(joined);
  return joined;
}

Json sequence(const Json& parts) {
  return {{"type", "Sequence"}, {"decoders", parts}};
}

const Json kFuse{{"type", "Fuse"}};

Json strip(const std::string& content, int start, int stop) {
  return {{"type", "Strip"}, {"content", content}, {"start", start}, {"stop", stop}};
}

Json replace(const Json& pattern, const std::string& content) {
  return {{"type", "Replace"}, {"pattern", pattern}, {"content", content}};
}

TEST(Decoder, WithoutOneTokensAreJoinedBySpaces) {
  EXPECT_EQ(decode(Json(), {"a", "b", "c"}), "a b c");
}

TEST(Decoder, ByteLevel) {
  const Json part{{"type", "ByteLevel"}};
  EXPECT_EQ(decode(part, {"Hi", "\u0120x", "\u010a"}), "Hi x\n");
  // U+20AC is E2 82 AC, spread over tokens.
  EXPECT_EQ(decode(part, {"\u00e2", "\u0124", "\u00ac!"}), "\u20ac!");
  EXPECT_EQ(decode(part, {"\u00e2", "\u0124", "!"}), "\ufffd!");
  EXPECT_EQ(decode(part, {"\u00e2", "\u0124"}), "\ufffd");
  // A token with a character that stands for no byte stands for its own bytes.
  EXPECT_EQ(decode(part, {"\u0120a", "\u0120\u4e00"}), " a\u0120\u4e00");
}

TEST(Decoder, ByteFallback) {
  const Json part{{"type", "ByteFallback"}};
  EXPECT_EQ(decode(part, {"a", "<0xE2>", "<0x82>", "<0xAC>", "b"}), "a\u20acb");
  // The examples of the reference's tests.
  EXPECT_EQ(decode(part, {"<0x61>"}), "a");
  EXPECT_EQ(decode(part, {"<0xE5>"}), "\ufffd");
  EXPECT_EQ(decode(part, {"<0xE5>", "<0x8f>"}), "\ufffd\ufffd");
  EXPECT_EQ(decode(part, {"<0xE5>", "<0x8f>", "<0xab>"}), "\u53eb");
  EXPECT_EQ(decode(part, {"<0xE5>", "<0x8f>", "<0xab>", "a"}), "\u53eba");
  EXPECT_EQ(decode(part, {"<0xE5>", "<0x8f>", "a"}), "\ufffd\ufffda");
  EXPECT_EQ(decode(part, {"<0xZZ>", "<0x1>", "<0x123>"}), "<0xZZ><0x1><0x123>");
}

TEST(Decoder, Metaspace) {
  const auto part = [](const std::string& scheme) {
    return Json{{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", scheme}};
  };
  EXPECT_EQ(decode(part("always"), {"_Hey", "_you", "_"}), "Hey you ");
  EXPECT_EQ(decode(part("first"), {"_He_y", "_"}), "Hey ");  // all of the first token's go
  EXPECT_EQ(decode(part("never"), {"_Hey", "_you"}), " Hey you");
}

TEST(Decoder, ReplaceInEachToken) {
  EXPECT_EQ(decode(replace({{"String", "ab"}}, "-"), {"ab", "a", "b"}), "-ab");
  EXPECT_EQ(decode(sequence({kFuse, replace({{"String", "ab"}}, "-")}), {"ab", "a", "b"}), "--");
  EXPECT_EQ(decode(replace({{"Regex", "b$"}}, "-"), {"ab", "b"}), "a--");
}

TEST(Decoder, StripEachToken) {
  EXPECT_EQ(decode(strip("H", 1, 0), {"Hey", " friend!", "HHH"}), "ey friend!HH");
  EXPECT_EQ(decode(strip("y", 0, 1), {"Hey", " friend!", "yy"}), "He friend!y");
  EXPECT_EQ(decode(strip("y", 2, 2), {"y", "yyy", "ayyy"}), "ay");
  EXPECT_EQ(decode(sequence({kFuse, strip("y", 0, 2)}), {"ay", "y", "y"}), "ay");
  EXPECT_EQ(decode(sequence({kFuse, strip("\u00e9", 2, 0)}), {"\u00e9", "\u00e9\u00e9", "a"}),
            "\u00e9a");
}

TEST(Decoder, LlamaSequence) {
  const Json part = sequence(
      {replace({{"String", "_"}}, " "), {{"type", "ByteFallback"}}, kFuse, strip(" ", 1, 0)});
  EXPECT_EQ(decode(part, {"_Hi", "_there", "<0x0A>", "<0xC3>", "<0xA9>", "_"}),
            "Hi there\n\u00e9 ");
  EXPECT_EQ(decode(part, {"_", "_a"}), " a");
  EXPECT_EQ(decode(part, {}), "");
}

TEST(Decoder, StagesThatNeedWholeTokensWaitForThem) {
  // After Fuse the text is one token that is no byte.
  EXPECT_EQ(decode(sequence({kFuse, {{"type", "ByteFallback"}}}), {"<0x61>", "b"}), "<0x61>b");
  EXPECT_EQ(decode(sequence({kFuse, {{"type", "ByteFallback"}}}), {"<0x", "61>"}), "a");
  EXPECT_EQ(decode(sequence({kFuse, {{"type", "ByteLevel"}}}), {"\u0120a", "\u4e00"}),
            "\u0120a\u4e00");
  EXPECT_EQ(decode(sequence({{{"type", "ByteLevel"}}, {{"type", "ByteLevel"}}}), {"a"}), "a");
  EXPECT_EQ(
      decode(
          sequence({{{"type", "ByteLevel"}},
                    {{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "always"}}}),
          {"_a", "_b"}),
      "ab");
}

TEST(StreamDecoder, GivesTextAsSoonAsItIsCertain) {
  const auto tokenizer =
      Tokenizer::parse(bpe_json(vocab_of({"\u00e2", "\u0124", "\u00ac", "a"}), Json::array(), {},
                                {{"decoder", {{"type", "ByteLevel"}}}}));
  StreamDecoder stream(tokenizer);
  EXPECT_EQ(stream.push(3), "a");
  EXPECT_EQ(stream.push(0), "");
  EXPECT_EQ(stream.push(1), "");
  EXPECT_EQ(stream.push(2), "\u20ac");
  EXPECT_EQ(stream.push(0), "");
  EXPECT_EQ(stream.finish(), "\ufffd");
}

// Random ids, which are far from text: every break inside a character occurs.
Ids random_ids(const Tokenizer& tokenizer) {
  std::mt19937 random(3);
  Ids ids;
  for (int i = 0; i < 20000; ++i) {
    // Low ids are bytes in most vocabularies; the highest have no token.
    const auto bound = static_cast<unsigned>(i % 2 == 0 ? 300 : tokenizer.vocab_size() + 100);
    ids.push_back(static_cast<std::int32_t>(random() % bound));
  }
  return ids;
}

std::string decode_as_stream(const Tokenizer& tokenizer, const Ids& ids) {
  StreamDecoder stream(tokenizer);
  std::string joined;
  for (const std::int32_t id : ids) {
    const std::string more = stream.push(id);
    EXPECT_TRUE(is_utf8(more));
    joined += more;
  }
  return joined + stream.finish();
}

// What a byte-level decoder means, on the whole at once.
std::string decode_bytes(const Tokenizer& tokenizer, const Ids& ids) {
  std::string bytes;
  for (const std::int32_t id : ids) {
    if (id >= tokenizer.vocab_size() || tokenizer.is_special(id)) continue;
    const std::string token = tokenizer.token(id);
    bytes += from_byte_characters(token).value_or(token);
  }
  return replace_malformed_utf8(bytes);
}

TEST(StreamDecoder, JoinsToTheWholeAndNeverSplitsACharacter) {
  for (const char* name : {"phi-2", "falcon", "gpt-neox", "llama2", "t5-small"}) {
    const auto file = shared_folder() / "tokenizers" / name / "tokenizer.json";
    if (!std::filesystem::exists(file)) GTEST_SKIP() << "shared data is absent: " << file;
    const auto tokenizer = Tokenizer::load(file);
    const Ids ids = random_ids(tokenizer);
    const std::string joined = decode_as_stream(tokenizer, ids);
    EXPECT_TRUE(joined == tokenizer.decode(ids)) << name;
    const std::string_view kind = name;
    if (kind != "llama2" && kind != "t5-small") {
      EXPECT_TRUE(joined == decode_bytes(tokenizer, ids)) << name;
    }
  }
}

TEST(StreamDecoder, DocsLlamaBytes) {
  const auto tokenizer = Tokenizer::load(std::filesystem::path(TERSE_SOURCE_DIR) / "models" /
                                         "docs-llama" / "tokenizer.json");
  const Ids ids = random_ids(tokenizer);
  EXPECT_TRUE(decode_as_stream(tokenizer, ids) == decode_bytes(tokenizer, ids));
}

}  // namespace
}  // namespace terse::test
