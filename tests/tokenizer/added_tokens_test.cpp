// Added tokens and their flags; post-processors.
#include <gtest/gtest.h>

#include "terse/core/error.h"
#include "tokenizer/support.h"

namespace terse::test {
namespace {

using Strings = std::vector<std::string>;

Json added(std::int64_t id, const std::string& content, const Json& flags = {}) {
  Json token{{"id", id},        {"content", content}, {"special", false},    {"normalized", false},
             {"lstrip", false}, {"rstrip", false},    {"single_word", false}};
  if (!flags.is_null()) token.update(flags);
  return token;
}

// Characters of ASCII as the model's tokens, and the added tokens given.
Tokenizer with_added(const std::vector<Json>& tokens, const Json& parts = {}) {
  Strings characters;
  for (char character = ' '; character <= '~'; ++character) characters.emplace_back(1, character);
  Json json = bpe_json(vocab_of(characters), Json::array(), {}, parts);
  json["added_tokens"] = tokens;
  json["decoder"] = {{"type", "Fuse"}};
  return Tokenizer::parse(json);
}

TEST(AddedTokens, TheLongestWins) {
  const auto tokenizer = with_added({added(200, "<a>"), added(201, "<a><b>"), added(202, "a>")});
  EXPECT_EQ(tokens_of(tokenizer, "x<a><b><a>y"), (Strings{"x", "<a><b>", "<a>", "y"}));
  EXPECT_EQ(tokens_of(tokenizer, "<<a"), (Strings{"<", "<", "a"}));
}

TEST(AddedTokens, TakeWhiteSpaceWithThem) {
  EXPECT_EQ(with_added({added(200, "<a>", {{"lstrip", true}})}).encode("<a>  <a> b").size(), 4U);
  EXPECT_EQ(tokens_of(with_added({added(200, "<a>", {{"lstrip", true}})}), "x \n <a> y"),
            (Strings{"x", "<a>", " ", "y"}));
  EXPECT_EQ(tokens_of(with_added({added(200, "<a>", {{"rstrip", true}})}), "x <a> \n <a>y"),
            (Strings{"x", " ", "<a>", "<a>", "y"}));
  EXPECT_EQ(
      tokens_of(with_added({added(200, "<a>", {{"lstrip", true}, {"rstrip", true}})}), " <a> <a> "),
      (Strings{"<a>", "<a>"}));
}

TEST(AddedTokens, SingleWords) {
  const auto tokenizer = with_added({added(200, "cat", {{"single_word", true}})});
  EXPECT_EQ(tokens_of(tokenizer, "cat"), Strings{"cat"});
  EXPECT_EQ(tokens_of(tokenizer, "cats"), (Strings{"c", "a", "t", "s"}));
  EXPECT_EQ(tokens_of(tokenizer, "-cat-"), (Strings{"-", "cat", "-"}));
  EXPECT_EQ(tokens_of(tokenizer, "_cat"), (Strings{"_", "c", "a", "t"}));
}

TEST(AddedTokens, NormalizedOnesAreSoughtInNormalisedText) {
  const Json lower{{"normalizer", {{"type", "Lowercase"}}}};
  const Json raw = added(200, "Cat");
  const Json normalized = added(200, "Cat", {{"normalized", true}});
  EXPECT_EQ(tokens_of(with_added({raw}, lower), "CATCat"), (Strings{"c", "a", "t", "Cat"}));
  EXPECT_EQ(tokens_of(with_added({normalized}, lower), "CATCat"), (Strings{"Cat", "Cat"}));
}

TEST(AddedTokens, EachTextBetweenIsNormalisedByItself) {
  const Json prepend{{"normalizer", {{"type", "Prepend"}, {"prepend", "_"}}}};
  EXPECT_EQ(tokens_of(with_added({added(200, "<a>")}, prepend), "x<a>y"),
            (Strings{"_", "x", "<a>", "_", "y"}));
}

TEST(AddedTokens, FirstOfMetaspaceIsNotAfterThem) {
  const Json first{{"pre_tokenizer",
                    {{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "first"}}}};
  EXPECT_EQ(tokens_of(with_added({added(200, "<a>")}, first), "x<a>y"),
            (Strings{"_", "x", "<a>", "y"}));
}

TEST(AddedTokens, SpecialOnesAreSkippedInDecoding) {
  const auto tokenizer = with_added({added(200, "<a>", {{"special", true}}), added(201, "<b>")});
  const Ids ids = tokenizer.encode("x<a><b>");
  EXPECT_EQ(tokenizer.decode(ids), "x<b>");
  EXPECT_EQ(tokenizer.decode(ids, false), "x<a><b>");
  EXPECT_TRUE(tokenizer.is_special(200));
  EXPECT_FALSE(tokenizer.is_special(201));
  EXPECT_EQ(tokenizer.vocab_size(), 97);
}

TEST(AddedTokens, MayBeTokensOfTheModel) {
  const auto tokenizer = with_added({added(0, " ", {{"special", true}})});
  EXPECT_EQ(tokenizer.vocab_size(), 95);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("a b")), "ab");
}

TEST(AddedTokens, IdsMustAgree) {
  EXPECT_THROW(with_added({added(5, "a")}), Error);    // the model gives "a" another id
  EXPECT_THROW(with_added({added(5, "<a>")}), Error);  // the model's 5 is "%"
  EXPECT_THROW(with_added({added(200, "<a>"), added(201, "<a>")}), Error);
  EXPECT_THROW(with_added({added(200, "<a>"), added(200, "<b>")}), Error);
  EXPECT_NO_THROW(with_added({added(200, "<a>"), added(200, "<a>")}));
}

Json template_json(const Json& single, const Json& special_tokens) {
  return {{"type", "TemplateProcessing"}, {"single", single}, {"special_tokens", special_tokens}};
}

const Json kText{{"Sequence", {{"id", "A"}, {"type_id", 0}}}};

Json special(const std::string& name) {
  return {{"SpecialToken", {{"id", name}, {"type_id", 0}}}};
}

TEST(PostProcessor, Template) {
  const std::vector<Json> tokens{added(200, "<s>", {{"special", true}}), added(201, "</s>")};
  const Json special_tokens{{"<s>", {{"id", "<s>"}, {"ids", {200}}, {"tokens", {"<s>"}}}},
                            {"end", {{"id", "end"}, {"ids", {201, 200}}, {"tokens", {"", ""}}}}};
  const Json part = template_json({special("<s>"), kText, special("end")}, special_tokens);
  for (const Json& post :
       {part, Json{{"type", "Sequence"}, {"processors", {{{"type", "ByteLevel"}}, part}}}}) {
    const auto tokenizer = with_added(tokens, {{"post_processor", post}});
    EXPECT_EQ(tokenizer.encode(" "), (Ids{200, 0, 201, 200}));
    EXPECT_EQ(tokenizer.encode(""), (Ids{200, 201, 200}));
    EXPECT_EQ(tokenizer.encode(" ", false), Ids{0});
  }
}

TEST(PostProcessor, TemplateMustKnowItsTokens) {
  const auto parse = [](const Json& single, const Json& special_tokens) {
    return with_added({}, {{"post_processor", template_json(single, special_tokens)}});
  };
  EXPECT_THROW(parse({special("<s>"), kText}, Json::object()), Error);
  EXPECT_THROW(parse({special("<s>"), kText}, {{"<s>", {{"ids", {4000}}}}}), Error);
  EXPECT_THROW(parse({special("<s>"), kText}, {{"<s>", {{"ids", {-1}}}}}), Error);
  EXPECT_THROW(parse({{{"Sequence", {{"id", "B"}}}}}, Json::object()), Error);
  EXPECT_THROW(parse(Json::array(), Json::object()), Error);
}

}  // namespace
}  // namespace terse::test
