#include "terse/core/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "terse/core/error.h"

namespace terse {
namespace {

using testing::HasSubstr;

template <class Body>
std::string message_of(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_input);
    return error.what();
  }
  return "no error";
}

std::string parse_message(const std::string& text) {
  return message_of([&] { parse_json(text); });
}

TEST(Json, ReadsValues) {
  const Json json = parse_json(R"( {"a": [1, -2.5, true, null, "\u00e9\ud83d\ude00"]} )");
  EXPECT_EQ(json["a"][0], 1);
  EXPECT_EQ(json["a"][1], -2.5);
  EXPECT_EQ(json["a"][4], "\xc3\xa9\xf0\x9f\x98\x80");
}

TEST(Json, RefusesWhatIsNone) {
  for (const char* text : {"", "{", "[1,]", "{\"a\":}", "nul", "[1] 2", "'a'", "[01]", "[1.]",
                           "\"\xff\"", "\"\xed\xa0\x80\"", "\"\x01\"", "\"\\ud800\"", "1e999"}) {
    EXPECT_THAT(parse_message(text), HasSubstr("not valid JSON")) << text;
  }
}

TEST(Json, DepthIsBounded) {
  const auto nested = [](std::size_t depth, char open, char close) {
    return std::string(depth, open) + std::string(depth, close);
  };
  EXPECT_EQ(parse_message(nested(64, '[', ']')), "no error");
  EXPECT_THAT(parse_message(nested(65, '[', ']')), HasSubstr("deeper than 64"));
  EXPECT_THAT(parse_message(std::string(10'000'000, '[')), HasSubstr("deeper than 64"));
  std::string objects;
  for (int i = 0; i < 65; ++i) objects += "{\"a\":";
  EXPECT_THAT(parse_message(objects), HasSubstr("deeper than 64"));
  // Depth is that of the path, not the number of brackets.
  std::string wide = "[0";
  for (int i = 0; i < 1000; ++i) wide += ",[],{}";
  EXPECT_EQ(parse_message(wide + "]"), "no error");
}

TEST(Json, RepeatedKeysAreRefused) {
  EXPECT_THAT(parse_message(R"({"a":1,"a":2})"), HasSubstr("repeats the key 'a'"));
  EXPECT_THAT(parse_message(R"({"a":1,"\u0061":2})"), HasSubstr("repeats the key 'a'"));
  EXPECT_EQ(parse_message(R"({"a":{"a":1},"b":{"a":1}})"), "no error");
  EXPECT_THAT(parse_message(R"({"b":{"c":{}},"b":1})"), HasSubstr("repeats the key 'b'"));
}

TEST(Json, TypedAccessSaysWhatWasFound) {
  const Json json = parse_json(
      R"({"i": 3, "f": 2.5, "b": true, "s": "x", "o": {}, "a": [], "n": null,
          "big": 18446744073709551615})");
  EXPECT_EQ(get_integer(json, "i"), 3);
  EXPECT_EQ(get_integer(json, "absent", 7), 7);
  EXPECT_EQ(get_integer(json, "n", 7), 7);
  EXPECT_EQ(get_number(json, "f"), 2.5);
  EXPECT_EQ(get_number(json, "i"), 3.0);
  EXPECT_EQ(get_number(json, "absent", 0.5), 0.5);
  EXPECT_TRUE(get_bool(json, "b", false));
  EXPECT_TRUE(get_bool(json, "absent", true));
  EXPECT_EQ(get_string(json, "s"), "x");
  EXPECT_EQ(get_string(json, "n", "y"), "y");
  EXPECT_TRUE(get_object(json, "o").empty());
  EXPECT_TRUE(get_array(json, "a").empty());
  EXPECT_TRUE(has_key(json, "i"));
  EXPECT_FALSE(has_key(json, "n"));

  const auto message = [&](const auto& get) { return message_of([&] { get(); }); };
  EXPECT_EQ(message([&] { get_integer(json, "f"); }), "key 'f': expected an integer, found number");
  EXPECT_EQ(message([&] { get_integer(json, "s", 1); }),
            "key 's': expected an integer, found string");
  EXPECT_EQ(message([&] { get_integer(json, "big"); }),
            "key 'big': expected an integer, found number");
  EXPECT_EQ(message([&] { get_integer(json, "n"); }), "key 'n' is missing; expected an integer");
  EXPECT_EQ(message([&] { get_number(json, "b"); }), "key 'b': expected a number, found boolean");
  EXPECT_EQ(message([&] { get_bool(json, "i", true); }),
            "key 'i': expected true or false, found number");
  EXPECT_EQ(message([&] { get_string(json, "i"); }), "key 'i': expected a string, found number");
  EXPECT_EQ(message([&] { get_object(json, "a"); }), "key 'a': expected an object, found array");
  EXPECT_EQ(message([&] { get_array(json, "o"); }), "key 'o': expected an array, found object");
  EXPECT_THAT(message([&] { get_integer(json["a"], "i"); }),
              HasSubstr("expected an object with the key 'i', found array"));
}

}  // namespace
}  // namespace terse
