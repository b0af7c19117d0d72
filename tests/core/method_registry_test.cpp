#include "terse/core/method_registry.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace terse {
namespace {

using test::expect_error;

MethodInfo method() {
  return {.name = "test-gptq",
          .category = "quantize",
          .summary = "one line",
          .paper = "nobody",
          .scope = MethodScope::linear,
          .need = MethodNeed::nothing,
          .options = {{"bits", std::int64_t{4}, "", {}, 2, 8},
                      {"damp", 0.01, "", {}, 0, 1},
                      {"symmetric", false, ""},
                      {"clip", std::string("minmax"), "", {"minmax", "mse"}},
                      {"note", std::string(), ""}}};
}

using Given = std::map<std::string, std::string>;

void refused(const Given& given, const std::string& says) {
  expect_error(ErrorKind::usage, says, [&] { MethodOptions(method(), given); });
}

TEST(MethodOptions, AreDefaultsAndWhatIsGiven) {
  const MethodOptions defaults(method(), {});
  EXPECT_EQ(defaults.integer("bits"), 4);
  EXPECT_EQ(defaults.number("damp"), 0.01);
  EXPECT_FALSE(defaults.flag("symmetric"));
  EXPECT_EQ(defaults.text("clip"), "minmax");
  const MethodOptions given(method(), {{"bits", "3"},
                                       {"damp", "1e-3"},
                                       {"symmetric", "true"},
                                       {"clip", "mse"},
                                       {"note", "any text"}});
  EXPECT_EQ(given.integer("bits"), 3);
  EXPECT_EQ(given.number("damp"), 0.001);
  EXPECT_TRUE(given.flag("symmetric"));
  EXPECT_EQ(given.text("clip"), "mse");
  EXPECT_EQ(given.text("note"), "any text");
  EXPECT_TRUE(MethodOptions(method(), {{"symmetric", "1"}}).flag("symmetric"));
  EXPECT_EQ(MethodOptions(method(), {{"bits", "8"}}).integer("bits"), 8);
}

TEST(MethodOptions, RefuseWhatDoesNotFit) {
  refused({{"bit", "3"}}, "method test-gptq has no option 'bit'; did you mean 'bits'?");
  refused({{"bits", "three"}}, "option bits: expected an integer, found 'three'");
  refused({{"bits", "3.5"}}, "option bits: expected an integer, found '3.5'");
  refused({{"bits", ""}}, "option bits: expected an integer, found ''");
  refused({{"bits", " 3"}}, "option bits: expected an integer");
  refused({{"bits", "99999999999999999999"}}, "option bits: expected an integer");
  refused({{"bits", "1"}}, "option bits: 1 is outside 2 to 8");
  refused({{"bits", "9"}}, "option bits: 9 is outside 2 to 8");
  refused({{"damp", "x"}}, "option damp: expected a number, found 'x'");
  refused({{"damp", "nan"}}, "option damp: nan is outside 0 to 1");
  refused({{"damp", "-0.1"}}, "option damp: -0.1 is outside 0 to 1");
  refused({{"symmetric", "yes"}}, "option symmetric: expected true or false, found 'yes'");
  refused({{"clip", "max"}}, "option clip: 'max' is not one of minmax, mse");
}

TEST(MethodOptions, ValuesAreWrittenAsTheyAreTyped) {
  EXPECT_EQ(option_text(true), "true");
  EXPECT_EQ(option_text(false), "false");
  EXPECT_EQ(option_text(std::int64_t{-4}), "-4");
  EXPECT_EQ(option_text(0.01), "0.01");
  EXPECT_EQ(option_text(std::string("mse")), "mse");
}

TEST(MethodRegistry, FindsMethodsByName) {
  MethodRegistry registry;
  registry.add(method());
  EXPECT_EQ(registry.find("test-gptq").category, "quantize");
  expect_error(ErrorKind::usage, "unknown method 'gptq'; did you mean 'test-gptq'?",
               [&] { registry.find("gptq"); });
  EXPECT_EQ(&MethodRegistry::instance(), &MethodRegistry::instance());
}

}  // namespace
}  // namespace terse
