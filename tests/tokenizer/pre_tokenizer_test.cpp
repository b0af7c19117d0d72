// Each kind of pre-tokeniser by itself.
#include <gtest/gtest.h>

#include "terse/core/error.h"
#include "terse/tokenizer/byte_level.h"
#include "terse/tokenizer/pre_tokenizer.h"
#include "tokenizer/support.h"

namespace terse::test {
namespace {

using Strings = std::vector<std::string>;

Strings split(const Json& part, const std::string& text, bool begins_input = true) {
  const PreTokenizer pre_tokenizer = read_pre_tokenizer(part);
  Pieces pieces{text, {{0, text.size()}}, begins_input};
  pre_tokenizer.apply(pieces);
  Strings result;
  for (const Range& range : pieces.ranges) {
    const std::string_view piece = pieces.piece(range);
    result.push_back(pre_tokenizer.byte_level ? to_byte_characters(piece) : std::string(piece));
  }
  return result;
}

Json split_json(const Json& pattern, const std::string& behavior, bool invert = false) {
  return {{"type", "Split"}, {"pattern", pattern}, {"behavior", behavior}, {"invert", invert}};
}

// The examples of the reference's own documentation of the behaviours.
TEST(Split, Behaviours) {
  const Json dash{{"String", "-"}};
  const std::string text = "the-final--countdown";
  EXPECT_EQ(split(split_json(dash, "Removed"), text), (Strings{"the", "final", "countdown"}));
  EXPECT_EQ(split(split_json(dash, "Isolated"), text),
            (Strings{"the", "-", "final", "-", "-", "countdown"}));
  EXPECT_EQ(split(split_json(dash, "MergedWithPrevious"), text),
            (Strings{"the-", "final-", "-", "countdown"}));
  EXPECT_EQ(split(split_json(dash, "MergedWithNext"), text),
            (Strings{"the", "-final", "-", "-countdown"}));
  EXPECT_EQ(split(split_json(dash, "Contiguous"), text),
            (Strings{"the", "-", "final", "--", "countdown"}));
}

TEST(Split, AtTheEnds) {
  const Json dash{{"String", "-"}};
  EXPECT_EQ(split(split_json(dash, "Removed"), "-a-"), Strings{"a"});
  EXPECT_EQ(split(split_json(dash, "Removed"), "--"), Strings{});
  EXPECT_EQ(split(split_json(dash, "MergedWithPrevious"), "-a-"), (Strings{"-", "a-"}));
  EXPECT_EQ(split(split_json(dash, "MergedWithNext"), "-a-"), (Strings{"-a", "-"}));
  EXPECT_EQ(split(split_json(dash, "Contiguous"), "--a"), (Strings{"--", "a"}));
}

TEST(Split, InvertedPatternsMatchWords) {
  const Json words{{"Regex", "[a-z]+"}};
  EXPECT_EQ(split(split_json(words, "Removed", true), "ab, cd"), (Strings{"ab", "cd"}));
  EXPECT_EQ(split(split_json(words, "Isolated", true), "ab, cd"), (Strings{"ab", ", ", "cd"}));
  EXPECT_EQ(split(split_json(words, "MergedWithPrevious", true), "ab, cd"),
            (Strings{"ab, ", "cd"}));
  EXPECT_EQ(split(split_json(words, "MergedWithNext", true), "ab, cd"), (Strings{"ab", ", cd"}));
}

TEST(Split, StringsAreLiteral) {
  EXPECT_EQ(split(split_json({{"String", "."}}, "Isolated"), "a.b"), (Strings{"a", ".", "b"}));
}

TEST(Split, PiecesAreSeenOneByOne) {
  // The second pattern cannot look back into the piece before.
  const Json sequence{
      {"type", "Sequence"},
      {"pretokenizers",
       {split_json({{"String", "-"}}, "Isolated"), split_json({{"Regex", "(?<=-)b"}}, "Removed")}}};
  EXPECT_EQ(split(sequence, "a-b"), (Strings{"a", "-", "b"}));
}

TEST(ByteLevelStep, SplitsAndMaps) {
  const auto part = [](bool prefix, bool regex) {
    return Json{{"type", "ByteLevel"}, {"add_prefix_space", prefix}, {"use_regex", regex}};
  };
  EXPECT_EQ(split(part(false, true), "I'm \u00e9 x"),
            (Strings{"I", "'m", "\u0120\u00c3\u00a9", "\u0120x"}));
  EXPECT_EQ(split(part(true, true), "a b"), (Strings{"\u0120a", "\u0120b"}));
  EXPECT_EQ(split(part(true, true), " a"), Strings{"\u0120a"});
  EXPECT_EQ(split(part(true, false), "a b"), Strings{"\u0120a\u0120b"});
  Json without_regex_key = part(false, true);
  without_regex_key.erase("use_regex");
  EXPECT_EQ(split(without_regex_key, "a b"), (Strings{"a", "\u0120b"}));
}

TEST(ByteLevelStep, StepsAfterItSeeTheCharacters) {
  const Json sequence{{"type", "Sequence"},
                      {"pretokenizers",
                       {{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}},
                        split_json({{"String", "\u0120"}}, "Removed")}}};
  EXPECT_EQ(split(sequence, "a b"), (Strings{"a", "b"}));
}

Json metaspace(const Json& options) {
  Json part{{"type", "Metaspace"}, {"replacement", "_"}};
  part.update(options);
  return part;
}

TEST(MetaspaceStep, PrependSchemes) {
  EXPECT_EQ(split(metaspace({{"prepend_scheme", "always"}}), "a b"), (Strings{"_a", "_b"}));
  EXPECT_EQ(split(metaspace({{"prepend_scheme", "always"}}), " a"), Strings{"_a"});
  EXPECT_EQ(split(metaspace({{"prepend_scheme", "never"}}), "a b"), (Strings{"a", "_b"}));
  EXPECT_EQ(split(metaspace({{"prepend_scheme", "first"}}), "a b"), (Strings{"_a", "_b"}));
  EXPECT_EQ(split(metaspace({{"prepend_scheme", "first"}}), "a b", false), (Strings{"a", "_b"}));
  EXPECT_EQ(split(metaspace({{"prepend_scheme", "always"}}), "a b", false), (Strings{"_a", "_b"}));
}

TEST(MetaspaceStep, OlderOptions) {
  EXPECT_EQ(split(metaspace({{"add_prefix_space", true}}), "a"), Strings{"_a"});
  EXPECT_EQ(split(metaspace({{"add_prefix_space", false}}), "a"), Strings{"a"});
  EXPECT_THROW(
      read_pre_tokenizer(metaspace({{"add_prefix_space", false}, {"prepend_scheme", "always"}})),
      Error);
}

TEST(MetaspaceStep, MayKeepThePieceWhole) {
  EXPECT_EQ(split(metaspace({{"split", false}}), "a  b"), Strings{"_a__b"});
  EXPECT_EQ(split(metaspace({{"split", true}}), "a  b"), (Strings{"_a", "_", "_b"}));
}

TEST(MetaspaceStep, FirstIsWhereTheInputBegins) {
  const Json sequence{
      {"type", "Sequence"},
      {"pretokenizers", {{{"type", "WhitespaceSplit"}}, metaspace({{"prepend_scheme", "first"}})}}};
  EXPECT_EQ(split(sequence, "a b"), (Strings{"_a", "b"}));
  EXPECT_EQ(split(sequence, " a b"), (Strings{"a", "b"}));  // the space that began it was removed
}

TEST(WhitespaceSteps, SplitWords) {
  EXPECT_EQ(split({{"type", "Whitespace"}}, "Hey, e\u0301t\u00e9_1  x!?"),
            (Strings{"Hey", ",", "e\u0301t\u00e9_1", "x", "!?"}));
  EXPECT_EQ(split({{"type", "WhitespaceSplit"}}, "Hey, you\u3000x\n"),
            (Strings{"Hey,", "you", "x"}));
}

TEST(DigitsStep, TogetherOrOneByOne) {
  EXPECT_EQ(split({{"type", "Digits"}, {"individual_digits", false}}, "a123\u00bdb"),
            (Strings{"a", "123\u00bd", "b"}));
  EXPECT_EQ(split({{"type", "Digits"}, {"individual_digits", true}}, "a12b"),
            (Strings{"a", "1", "2", "b"}));
}

TEST(PunctuationStep, Behaviours) {
  EXPECT_EQ(split({{"type", "Punctuation"}}, "a!?b$\u3001"),
            (Strings{"a", "!", "?", "b", "$", "\u3001"}));
  EXPECT_EQ(split({{"type", "Punctuation"}, {"behavior", "Contiguous"}}, "a!?b"),
            (Strings{"a", "!?", "b"}));
}

TEST(PreTokenizer, GrowthIsBounded) {
  Json sequence{{"type", "Sequence"}, {"pretokenizers", Json::array()}};
  for (int i = 0; i < 40; ++i) {
    sequence["pretokenizers"].push_back(
        {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}});
  }
  EXPECT_THROW(split(sequence, "\u00e9"), Error);
}

}  // namespace
}  // namespace terse::test
