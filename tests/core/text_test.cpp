#include "terse/core/text.h"

#include <gtest/gtest.h>

namespace terse {
namespace {

TEST(Text, NearestWordIsTheOneWithTheFewestEdits) {
  const std::vector<std::string> words{"gptq", "rtn", "sparsegpt", "wanda"};
  EXPECT_EQ(nearest_word("gtpq", words), "gptq");
  EXPECT_EQ(nearest_word("wnda", words), "wanda");
  EXPECT_EQ(nearest_word("sparse-gpt", words), "sparsegpt");
  EXPECT_EQ(nearest_word("rtn", words), "rtn");
  EXPECT_EQ(nearest_word("x", {}), "");
  EXPECT_EQ(nearest_word("ab", {"ax", "xb"}), "ax");  // the first of two equals
}

TEST(Text, ReplaceAllDoesNotReadItsOwnOutput) {
  EXPECT_EQ(replace_all("aXbX", "X", "YX"), "aYXbYX");
  EXPECT_EQ(replace_all("aaa", "aa", "a"), "aa");
  EXPECT_EQ(replace_all("abc", "d", "e"), "abc");
  EXPECT_EQ(replace_all("abab", "ab", ""), "");
}

TEST(Text, BytesHaveThreeDigits) {
  EXPECT_EQ(bytes_text(0), "0 bytes");
  EXPECT_EQ(bytes_text(999), "999 bytes");
  EXPECT_EQ(bytes_text(1000), "1.00 kB");
  EXPECT_EQ(bytes_text(11'547'536), "11.5 MB");
  EXPECT_EQ(bytes_text(9'994), "9.99 kB");
  EXPECT_EQ(bytes_text(9'996), "10.0 kB");
  EXPECT_EQ(bytes_text(99'960), "100 kB");
  EXPECT_EQ(bytes_text(999'600), "1.00 MB");
  EXPECT_EQ(bytes_text(582'000'000), "582 MB");
  EXPECT_EQ(bytes_text(2'500'000'000'000), "2.50 TB");
  EXPECT_EQ(bytes_text(1'234'000'000'000'000), "1234 TB");
}

TEST(Text, PrefixesNeverEndInsideACharacter) {
  const std::string text = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z";  // a, é, €, 😀, z
  const std::size_t expected[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11};
  for (std::size_t length = 0; length <= text.size(); ++length) {
    EXPECT_EQ(complete_utf8_prefix(std::string_view(text).substr(0, length)), expected[length])
        << length;
  }
}

TEST(Text, BytesThatAreNoUtf8AreNotHeldBackForever) {
  EXPECT_EQ(complete_utf8_prefix("\x80\x80\x80\x80\x80"), 5U);
  EXPECT_EQ(complete_utf8_prefix("a\x80"), 2U);
  EXPECT_EQ(complete_utf8_prefix("\xc3\xa9\xa9"), 3U);
}

}  // namespace
}  // namespace terse
