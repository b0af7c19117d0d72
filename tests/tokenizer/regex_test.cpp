// Regexes of Oniguruma's dialect; what a pattern must match is from its documentation (doc/RE).
#include <gtest/gtest.h>

#include "terse/core/error.h"
#include "terse/tokenizer/regex.h"
#include "tokenizer/support.h"

namespace terse::test {
namespace {

std::vector<std::string> matches_of(std::string_view pattern, std::string_view text) {
  std::vector<Range> ranges;
  Regex(pattern).find_all(text, ranges);
  std::vector<std::string> matches;
  for (const Range& range : ranges) {
    matches.emplace_back(text.substr(range.begin, range.end - range.begin));
  }
  return matches;
}

using Strings = std::vector<std::string>;

TEST(Regex, Gpt2Pattern) {
  EXPECT_EQ(
      matches_of(R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
                 "It's  12 caf\u00e9s!\n\n x"),
      (Strings{"It", "'s", " ", " 12", " caf\u00e9s", "!", "\n\n", " x"}));
}

TEST(Regex, CaseInsensitiveGroup) {
  EXPECT_EQ(matches_of("(?i:'s|'ll)", "'S 'lL 'x"), (Strings{"'S", "'lL"}));
}

TEST(Regex, SpaceIsWhiteSpace) {
  EXPECT_EQ(matches_of(R"(\s)", "a\u0085b\u00a0c\u180ed\u3000"),
            (Strings{"\u0085", "\u00a0", "\u3000"}));
  EXPECT_EQ(matches_of(R"([\s])", "\u180e "), Strings{" "});
  EXPECT_EQ(matches_of(R"(\S)", " \u180e"), Strings{"\u180e"});
  EXPECT_EQ(matches_of(R"([\S])", " \u180e"), Strings{"\u180e"});
  EXPECT_EQ(matches_of(R"([\s\S]+)", "a \u180e\n"), Strings{"a \u180e\n"});
}

TEST(Regex, WordsHoldMarks) {
  EXPECT_EQ(matches_of(R"(\w+)", "e\u0301_1\u00b2 \u24b6-x"),
            (Strings{"e\u0301_1", "\u24b6", "x"}));  // superscript two is No
  EXPECT_EQ(matches_of(R"(\W+)", "e\u0301 - x"), Strings{" - "});
  EXPECT_EQ(matches_of(R"([\w-]+)", "e\u0301-x"), Strings{"e\u0301-x"});
}

TEST(Regex, WordEdges) {
  EXPECT_EQ(matches_of(R"(\b\p{L}\p{M}?\b)", "e\u0301 ab c"), (Strings{"e\u0301", "c"}));
  EXPECT_EQ(matches_of(R"(\B\p{L})", "abc d"), (Strings{"b", "c"}));
}

TEST(Regex, RubyDialect) {
  EXPECT_EQ(matches_of(R"(\h+)", "xyzAf09 g"), Strings{"Af09"});
  EXPECT_EQ(matches_of(R"(\H)", "ax"), Strings{"x"});
  EXPECT_EQ(matches_of(R"([\h]+)", "xyzAf09"), Strings{"Af09"});
  EXPECT_EQ(matches_of(R"(\v)", "a\n\vb"), Strings{"\v"});  // the character, not a class
  EXPECT_EQ(matches_of("ba{,2}b", "bb bab baaab"), (Strings{"bb", "bab"}));
  EXPECT_EQ(matches_of("^b$", "a\nb\nc"), Strings{"b"});  // always at lines
  EXPECT_EQ(matches_of("a.b", "a\nb"), Strings{});
  EXPECT_EQ(matches_of("(?m:a.b)", "a\nb"), Strings{"a\nb"});
  EXPECT_EQ(matches_of(R"(\u00e9)", "e\u00e9"), Strings{"\u00e9"});
  EXPECT_EQ(matches_of("[]x]", "]x"), (Strings{"]", "x"}));
  EXPECT_EQ(matches_of("[[:alpha:]]+", "ab1"), Strings{"ab"});
  EXPECT_EQ(matches_of("x{a}", "x{a}"), Strings{"x{a}"});
}

// The reference's iterator: an empty match does not follow a match at once.
TEST(Regex, EmptyMatches) {
  std::vector<Range> found;
  Regex("a*").find_all("baac", found);
  EXPECT_EQ(found, (std::vector<Range>{{0, 0}, {1, 3}, {4, 4}}));
}

TEST(Regex, RefusesWhatItWouldReadOtherwise) {
  for (const char* pattern :
       {"[a[b]]", "[a&&b]", R"([\W])", R"([\H])", "a{2}?", "a{1,2}+", "(*UTF)a", "(?s:a)",
        R"(\Qa\E)", R"(\xE2)", R"(\u12)", R"(\C)", "(", "[a", "a**", "(?P<n>a)", "\\"}) {
    EXPECT_THROW(Regex{pattern}, Error) << pattern;
  }
  EXPECT_THROW(Regex(std::string(70000, 'a')), Error);
  try {
    Regex("[a&&b]");
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "regex '[a&&b]': an intersection (&&) inside a class is not supported");
    EXPECT_EQ(error.kind(), ErrorKind::bad_input);
  }
}

TEST(Regex, GivesUpInsteadOfRunningForEver) {
  EXPECT_THROW(matches_of("(a+)+$", std::string(40, 'a') + "b"), Error);
  EXPECT_THROW(matches_of(R"((a|aa)+\z)", std::string(60, 'a') + "b"), Error);
}

TEST(Regex, LongMatches) {
  const std::string text(3'000'000, 'a');
  EXPECT_EQ(matches_of(R"(\p{L}+)", text), Strings{text});
}

}  // namespace
}  // namespace terse::test
