// UTF-8 and character properties.
#include <gtest/gtest.h>

#include "terse/tokenizer/byte_level.h"
#include "terse/tokenizer/unicode.h"

namespace terse::test {
namespace {

TEST(Unicode, EveryCharacterRoundTrips) {
  for (char32_t character = 0; character <= 0x10ffff; ++character) {
    if (character == 0xd800) character = 0xe000;  // surrogates are no characters
    std::string text;
    append_utf8(text, character);
    const Utf8Step step = read_utf8(text, 0);
    ASSERT_EQ(step.kind, Utf8Step::Kind::character) << text;
    ASSERT_TRUE(step.value == character) << text;
    ASSERT_EQ(step.length, text.size());
    ASSERT_TRUE(is_utf8(text));
    if (text.size() > 1) {
      ASSERT_EQ(read_utf8(text.substr(0, text.size() - 1), 0).kind, Utf8Step::Kind::incomplete);
    }
  }
}

// Unicode 15, section 3.9, tables 3-8 to 3-11.
TEST(Unicode, MalformedSequencesAreReplacedByMaximalSubparts) {
  const std::string r = "\ufffd";
  EXPECT_EQ(replace_malformed_utf8("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(replace_malformed_utf8("\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(replace_malformed_utf8("\xf4\x91\x92\x93\xff\x41\x80\xbf\x42"),
            r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(replace_malformed_utf8("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41"), r + r + r + r + "A");
  EXPECT_EQ(replace_malformed_utf8("ab\xe2\x82"), "ab" + r);
  EXPECT_FALSE(is_utf8("0123456789\xff"));
  EXPECT_FALSE(is_utf8("\xe2\x82"));
  EXPECT_TRUE(is_utf8("0123456789\u20ac0123456789"));
}

TEST(Unicode, Properties) {
  EXPECT_TRUE(is_numeric(U'7') && is_numeric(U'\u0663') && is_numeric(U'\u00bd') &&
              is_numeric(U'\u2167'));
  EXPECT_FALSE(is_numeric(U'a') || is_numeric(U'\u4e00'));
  EXPECT_TRUE(is_punctuation(U'$') && is_punctuation(U'_') && is_punctuation(U'\u3001'));
  EXPECT_FALSE(is_punctuation(U'a') || is_punctuation(U'\u20ac') || is_punctuation(U' '));
  EXPECT_TRUE(is_white_space(U'\t') && is_white_space(U'\u0085') && is_white_space(U'\u3000'));
  EXPECT_FALSE(is_white_space(U'\u200b') || is_white_space(U'\u180e'));
  EXPECT_TRUE(is_word(U'_') && is_word(U'\u0301') && is_word(U'\u24b6') && is_word(U'9'));
  EXPECT_FALSE(is_word(U'-') || is_word(U'\u00b2') || is_word(U' '));
}

TEST(ByteLevel, EveryByteHasACharacterOfItsOwn) {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  EXPECT_EQ(from_byte_characters(to_byte_characters(bytes)), bytes);
  // From GPT-2's vocabulary: space is U+0120, newline is U+010A, e with acute C3 A9.
  EXPECT_EQ(to_byte_characters(" \n\u00e9a"), "\u0120\u010a\u00c3\u00a9a");
  EXPECT_EQ(to_byte_characters("\x7f\xa0\xad"), "\u0121\u0142\u0143");
  EXPECT_EQ(from_byte_characters("\u4e00"), std::nullopt);
  EXPECT_EQ(from_byte_characters("\u0144"), std::nullopt);
}

}  // namespace
}  // namespace terse::test
