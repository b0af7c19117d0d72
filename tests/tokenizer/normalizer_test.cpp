// Each kind of normaliser by itself.
#include <gtest/gtest.h>

#include <cstring>

#include "terse/core/error.h"
#include "terse/tokenizer/normalizer.h"
#include "terse/tokenizer/unicode.h"
#include "tokenizer/support.h"

namespace terse::test {
namespace {

std::string normalize(const Json& part, const std::string& text) {
  return read_normalizer(part)->apply(text);
}

// Examples of Unicode Standard Annex 15, figures 3 to 6.
TEST(Normalizer, NormalForms) {
  const std::string fi = "\ufb01";            // ligature fi
  const std::string s_dots = "\u1e9b\u0323";  // long s with dot above, dot below
  const std::string angstrom = "\u212b";
  EXPECT_EQ(normalize({{"type", "NFC"}}, angstrom), "\u00c5");
  EXPECT_EQ(normalize({{"type", "NFD"}}, angstrom), "A\u030a");
  EXPECT_EQ(normalize({{"type", "NFC"}}, fi), fi);
  EXPECT_EQ(normalize({{"type", "NFKC"}}, fi), "fi");
  EXPECT_EQ(normalize({{"type", "NFC"}}, s_dots), "\u1e9b\u0323");
  EXPECT_EQ(normalize({{"type", "NFD"}}, s_dots), "\u017f\u0323\u0307");
  EXPECT_EQ(normalize({{"type", "NFKC"}}, s_dots), "\u1e69");
  EXPECT_EQ(normalize({{"type", "NFKD"}}, s_dots), "s\u0323\u0307");
  EXPECT_EQ(normalize({{"type", "NFC"}}, "plain\n"), "plain\n");
}

TEST(Normalizer, NormalFormsKeepNulCharacters) {
  const std::string text("\u212b\0b", 5);
  EXPECT_EQ(normalize({{"type", "NFC"}}, text), std::string("\u00c5\0b", 4));
}

TEST(Normalizer, Lowercase) {
  EXPECT_EQ(normalize({{"type", "Lowercase"}}, "ABC \u00c9\u03a3\u0130"),
            "abc \u00e9\u03c3i\u0307");
}

TEST(Normalizer, Strip) {
  const auto strip = [](bool left, bool right, const std::string& text) {
    return normalize({{"type", "Strip"}, {"strip_left", left}, {"strip_right", right}}, text);
  };
  EXPECT_EQ(strip(true, true, "\u3000 a b\n"), "a b");
  EXPECT_EQ(strip(true, false, " a "), "a ");
  EXPECT_EQ(strip(false, true, " a "), " a");
  EXPECT_EQ(strip(false, false, " a "), " a ");
  EXPECT_EQ(strip(true, false, "  "), "");
  EXPECT_EQ(strip(false, true, "  "), "");
}

TEST(Normalizer, Prepend) {
  EXPECT_EQ(normalize({{"type", "Prepend"}, {"prepend", "_"}}, "a"), "_a");
  EXPECT_EQ(normalize({{"type", "Prepend"}, {"prepend", "_"}}, ""), "");
}

TEST(Normalizer, Replace) {
  const auto replace = [](const Json& pattern, const std::string& text) {
    return normalize({{"type", "Replace"}, {"pattern", pattern}, {"content", "<>"}}, text);
  };
  EXPECT_EQ(replace({{"String", "a.a"}}, "a.aaa.a"), "<>a<>");
  EXPECT_EQ(replace({{"Regex", "a.a"}}, "a.aaba"), "<><>");
  EXPECT_EQ(replace({{"Regex", " {2,}"}}, "a  b c   "), "a<>b c<>");
}

TEST(Normalizer, Sequence) {
  EXPECT_EQ(normalize({{"type", "Sequence"},
                       {"normalizers",
                        {{{"type", "Lowercase"}},
                         {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "B"}},
                         {{"type", "Prepend"}, {"prepend", "A"}}}}},
                      "Aa"),
            "ABB");
}

TEST(Normalizer, GrowthIsBounded) {
  Json sequence{{"type", "Sequence"}, {"normalizers", Json::array()}};
  const std::string hundred(100, 'a');
  for (int i = 0; i < 30; ++i) {
    sequence["normalizers"].push_back(
        {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", hundred}});
  }
  EXPECT_THROW(normalize(sequence, "a"), Error);
}

// --- Precompiled ---------------------------------------------------------------------------------

std::string base64(const std::string& bytes) {
  const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    unsigned word = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      word = word << 8U | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      text += i + k <= bytes.size() ? digits[word >> (18 - 6 * k) & 63U] : '=';
    }
  }
  return text;
}

// A double array by hand: a unit for each node at `base xor byte`; bit 8 says that a value follows
// at `base` itself, bits 10 and up hold the xor from the node to its base.
class DoubleArray {
 public:
  // Adds a word whose bytes no other word shares.
  void add(const std::string& word, std::uint32_t value) {
    std::uint32_t node = 0;
    std::uint32_t base = kRootBase;
    for (const char character : word) {
      const auto byte = static_cast<unsigned char>(character);
      units_[node] |= (node ^ base) << 10U;
      if (node == 0) units_[node] = base << 10U;
      node = base ^ byte;
      units_[node] = byte;
      base = next_base_ += 256;
    }
    units_[node] |= (node ^ base) << 10U | 1U << 8U;
    units_[base] = 1U << 31U | value;
  }

  std::string with(const std::string& replacements) const {
    std::string bytes(4 + units_.size() * 4, '\0');
    const auto size = static_cast<std::uint32_t>(units_.size() * 4);
    std::memcpy(bytes.data(), &size, 4);
    std::memcpy(bytes.data() + 4, units_.data(), size);
    return base64(bytes + replacements);
  }

 private:
  static constexpr std::uint32_t kRootBase = 256;
  std::vector<std::uint32_t> units_ = std::vector<std::uint32_t>(256 * 16, 0);
  std::uint32_t next_base_ = kRootBase;
};

std::string precompiled(const std::string& map, const std::string& text) {
  return normalize({{"type", "Precompiled"}, {"precompiled_charsmap", map}}, text);
}

TEST(Precompiled, ReplacesCharactersAndGraphemes) {
  DoubleArray array;
  array.add("x", 0);
  array.add("e\u0301", 3);  // a grapheme of two characters
  array.add("\u00a0", 6);
  const std::string map = array.with(std::string("XX\0\u00e9\0 \0", 8));
  EXPECT_EQ(precompiled(map, "axb"), "aXXb");
  EXPECT_EQ(precompiled(map, "e\u0301!"), "\u00e9!");
  EXPECT_EQ(precompiled(map, "a\u00a0b"), "a b");
  EXPECT_EQ(precompiled(map, "e"), "e");  // a prefix of a key is no key
  // The reference takes the shortest key that begins a grapheme, for the whole grapheme.
  EXPECT_EQ(precompiled(map, "x\u0301y"), "XXy");
  // A grapheme of 6 bytes or more is replaced character by character.
  EXPECT_EQ(precompiled(map, "x\u0301\u0301\u0301"), "XX\u0301\u0301\u0301");
  EXPECT_EQ(precompiled(map, ""), "");
}

TEST(Precompiled, RefusesBrokenTables) {
  EXPECT_THROW(precompiled("", "a"), Error);
  EXPECT_THROW(precompiled("!!!!", "a"), Error);
  EXPECT_THROW(precompiled(base64(std::string("\xff\xff\xff\x7f", 4)), "a"), Error);
  EXPECT_THROW(precompiled(base64(std::string("\3\0\0\0abc", 7)), "a"), Error);
  EXPECT_THROW(precompiled(DoubleArray().with("\xff"), "a"), Error);
}

TEST(Precompiled, ValuesOutsideTheTableReplaceNothing) {
  DoubleArray array;
  array.add("x", 1000);
  array.add("y", 1);  // inside a character
  EXPECT_EQ(precompiled(array.with(std::string("\u00e9\0", 3)), "xy"), "xy");
  // A trie whose offsets lead out of it.
  EXPECT_EQ(precompiled(base64(std::string("\4\0\0\0\0\xfc\xff\xff", 8)), "xy"), "xy");
}

}  // namespace
}  // namespace terse::test
