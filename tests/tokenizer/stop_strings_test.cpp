#include "terse/tokenizer/stop_strings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace terse {
namespace {

struct Cut {
  std::string text;
  std::optional<std::string> found;

  bool operator==(const Cut&) const = default;
};

void PrintTo(const Cut& cut, std::ostream* out) {
  *out << "'" << cut.text << "', " << cut.found.value_or("(none)");
}

Cut cut(const std::vector<std::string>& stops, const std::vector<std::string>& pieces) {
  StopStrings strings(stops);
  std::string text;
  for (const std::string& piece : pieces) text += strings.push(piece);
  text += strings.finish();
  return {text, strings.found()};
}

// Looks at every end from the left, and for the longest string that ends there.
Cut definition(const std::vector<std::string>& stops, const std::string& text) {
  for (std::size_t end = 1; end <= text.size(); ++end) {
    Cut best{text, std::nullopt};
    for (const std::string& stop : stops) {
      const bool ends = std::string_view(text).substr(0, end).ends_with(stop);
      if (ends && (!best.found || stop.size() > best.found->size())) {
        best = {text.substr(0, end - stop.size()), stop};
      }
    }
    if (best.found) return best;
  }
  return {text, std::nullopt};
}

TEST(StopStrings, CutsBeforeTheStringWhateverThePieces) {
  EXPECT_EQ(cut({"STOP"}, {"one two STOP three"}), (Cut{"one two ", "STOP"}));
  EXPECT_EQ(cut({"STOP"}, {"one tw", "o ST", "O", "P three"}), (Cut{"one two ", "STOP"}));
  EXPECT_EQ(cut({"STOP"}, {"one ST", "ART ", "STO"}), (Cut{"one START STO", std::nullopt}));
  EXPECT_EQ(cut({}, {"one", " two"}), (Cut{"one two", std::nullopt}));
}

TEST(StopStrings, HoldsBackWhatMayBeABeginningAndNothingElse) {
  StopStrings strings({"\n\nUser:", "###"});
  EXPECT_EQ(strings.push("Hello"), "Hello");
  EXPECT_EQ(strings.push("#"), "");
  EXPECT_EQ(strings.push("# x\n"), "## x");
  EXPECT_EQ(strings.push("\nUse"), "");
  EXPECT_EQ(strings.push("d.\n\n\nUser"), "\n\nUsed.\n");
  EXPECT_EQ(strings.found(), std::nullopt);
  EXPECT_EQ(strings.push(": more"), "");
  EXPECT_EQ(strings.found(), "\n\nUser:");
  EXPECT_EQ(strings.push("and more"), "");
  EXPECT_EQ(strings.finish(), "");
}

TEST(StopStrings, TheFirstThatIsCompleteCounts) {
  EXPECT_EQ(cut({"abc", "b"}, {"abc"}), (Cut{"a", "b"}));
  EXPECT_EQ(cut({"c", "abc", "bc"}, {"xabc"}), (Cut{"x", "abc"}));
}

TEST(StopStrings, AgreeWithTheirDefinitionOnRandomTexts) {
  std::mt19937 random(1);
  const auto word = [&](std::size_t least, std::size_t most) {
    std::string made(least + random() % (most - least + 1), 'a');
    for (char& each : made) each = static_cast<char>('a' + random() % 2);
    return made;
  };
  int found = 0;
  for (int i = 0; i < 3000; ++i) {
    std::vector<std::string> stops(1 + random() % 3);
    for (std::string& stop : stops) stop = word(1, 7);
    std::vector<std::string> pieces(random() % 8);
    std::string text;
    for (std::string& piece : pieces) text += piece = word(0, 5);
    EXPECT_EQ(cut(stops, pieces), definition(stops, text)) << testing::PrintToString(pieces);
    if (definition(stops, text).found) ++found;
  }
  EXPECT_GT(found, 500);
  EXPECT_LT(found, 2900);
}

}  // namespace
}  // namespace terse
