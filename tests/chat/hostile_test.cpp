// Templates that ask for too much end with an error, soon and without much memory.
#include <gtest/gtest.h>

#include "chat/support.h"
#include "support/expect_error.h"

namespace terse::test {
namespace {

std::string repeated(std::string_view text, std::size_t count) {
  std::string made;
  for (std::size_t i = 0; i < count; ++i) made += text;
  return made;
}

void expect_refused(const std::string& text, const std::string& part,
                    chat::TemplateLimits limits = {}) {
  SCOPED_TRACE(text.substr(0, 200));
  expect_error(ErrorKind::bad_input, part, [&] { render(text, OrderedJson::object(), limits); });
}

TEST(HostileTemplate, SyntaxIsBounded) {
  constexpr std::size_t kMany = 60'000;
  const std::pair<const char*, const char*> pairs[] = {
      {"(", ")"},  {"[", "]"},  {"{1:", "}"},  {"-", ""},        {"not ", ""},
      {"f(", ")"}, {"x[", "]"}, {"x|f(", ")"}, {"x is y(", ")"}, {"1 if 1 else ", ""}};
  for (const auto& [open, close] : pairs) {
    expect_refused("{{ " + repeated(open, kMany) + "1" + repeated(close, kMany) + " }}",
                   "nested too deep");
  }
  for (const char* more : {"+1", "~1", " and 1", "|f", ".a", "[0]", "()", "**1", "*1", " if 1"}) {
    expect_refused("{{ 1" + repeated(more, kMany) + " }}", "nested too deep");
  }
  for (const char* open : {"{% if 1 %}", "{% for x in y %}", "{% filter f %}", "{% set x %}",
                           "{% with %}", "{% macro m() %}", "{% call m() %}"}) {
    expect_refused(repeated(open, kMany), "nested too deep");
  }
  expect_refused("{% for " + repeated("(", kMany) + repeated(")", kMany) + " %}",
                 "nested too deep");
  expect_refused(repeated("x", (1 << 20) + 1), "1048576 bytes");
}

TEST(HostileTemplate, LongTemplatesWithoutDepthAreFine) {
  EXPECT_EQ(render(repeated("{{ 1 }}", 10'000)).size(), 10'000U);
  EXPECT_EQ(render("{{ [" + repeated("1,", 10'000) + "] | length }}"), "10000");
  EXPECT_EQ(render("{% if 0 %}" + repeated("{% elif 0 %}", 10'000) + "{% else %}x{% endif %}"),
            "x");
}

// As Python's generators do.
TEST(HostileTemplate, AConditionDoesNotAskItsOwnLoop) {
  for (const char* asked : {"length", "last", "nextitem", "revindex"}) {
    expect_refused("{% set ns = namespace() %}{% for x in [1, 2, 3] if ns.l is undefined or ns.l." +
                       std::string(asked) + " %}{% set ns.l = loop %}{% endfor %}",
                   "asks for the loop's own items");
  }
}

TEST(HostileTemplate, LongTextsAreChargedForWhateverIsDoneWithThem) {
  const std::string begin = "{% set t = 'a' * 1000000 %}{% for i in range(99999) %}{% set x = ";
  for (const char* work : {"t | length", "t.isascii()", "t.zfill(3)", "t.center(3)", "t | int",
                           "t is lower", "t.removesuffix('b')", "t | float"}) {
    expect_refused(begin + work + " %}{% endfor %}", "more than 500000 steps",
                   {500'000, chat::TemplateLimits().bytes});
  }
}

TEST(HostileTemplate, NamesAreShort) {
  expect_refused("{{ " + repeated("n", 1001) + " }}", "a name is longer than 1000 bytes");
  EXPECT_EQ(render("{{ " + repeated("n", 1000) + " }}"), "");
}

TEST(HostileTemplate, RawBlocksThatDoNotEndAreReadOnce) {
  expect_refused("{% raw %}" + repeated("{% endraw x\n", 80'000), "raw block has no end");
}

TEST(HostileTemplate, NumbersAtTheEndsOfTheirRange) {
  const std::string least = "(-9223372036854775807 - 1)";
  EXPECT_EQ(render("{{ 'a'.center(" + least + ") }}{{ 'a'.zfill(" + least + ") }}"), "aa");
  EXPECT_EQ(render("{{ 'a' | center(" + least + ") }}"), "a");
  expect_refused("{{ 9223372036854775807 | round(-1) }}", "too large");
}

TEST(HostileTemplate, NamesOfScopesThatMacrosKeepAreCharged) {
  std::string names;
  for (int i = 0; i < 1000; ++i) names += "{% set n" + std::to_string(i) + " = 1 %}";
  expect_refused(
      "{% for i in range(99999) %}{% macro m() %}{% endmacro %}" + names + "{% endfor %}",
      "take more than");
}

TEST(HostileTemplate, StepsAreBounded) {
  const auto expect_endless = [](const std::string& text) {
    expect_refused(text, "more than 500000 steps", {500'000, chat::TemplateLimits().bytes});
  };
  const std::string loop = "{% for a in range(99999) %}";
  expect_endless(loop + loop + "{% endfor %}{% endfor %}");
  expect_endless(loop + "{% if [1] * 1000 == [1] * 1000 %}{% endif %}{% endfor %}");
  // Lists within lists whose comparison would take 2^60 steps.
  expect_endless(
      "{% set n = namespace(a=[1], b=[1]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}"
      "{% set n.b = [n.b, n.b] %}{% endfor %}{{ n.a == n.b }}");
  expect_endless("{% set t = 'a' * 100000 %}" + loop +
                 "{% set b = t.rfind('b' * 9999) %}{% endfor %}");
  expect_endless(loop + "{% set b = ('a' * 100000) | upper %}{% endfor %}");
  expect_endless(loop + "{% set b = 'a' * 100000 ~ 'b' in 'c' * 100000 %}{% endfor %}");
}

TEST(HostileTemplate, MemoryIsBounded) {
  const auto expect_large = [](const std::string& text) {
    expect_refused(text, "more than 4194304 bytes", {chat::TemplateLimits().steps, 1 << 22});
  };
  expect_large("{{ 'a' * 9223372036854775807 }}");
  expect_large("{{ [1, 2, 3] * 9223372036854775807 }}");
  expect_large("{{ [] * 9223372036854775807 ~ '' * 9223372036854775807 ~ [0] * 99999999 }}");
  expect_large("{{ 'a'.center(999999999999) }}");
  expect_large("{{ 'a'.zfill(999999999999) }}");
  expect_large("{{ 'a' | center(999999999999) }}");
  expect_large("{{ 'a' | indent(999999999999, true) }}");
  expect_large("{{ [1] | tojson(indent=999999999999) }}");
  expect_large("{{ [1] | batch(999999999999, 0) | list }}");
  expect_large("{{ ('a' * 60000).replace('a', 'a' * 60000) }}");
  expect_large("{{ ('a' * 60000) | join('a' * 60000) }}");
  expect_large("{{ ('a' * 900000) | list }}");
  expect_large("{{ ('a,' * 900000).split(',') }}");
  expect_refused("{{ '%999999999s' % 'a' }}", "width");
  expect_large(
      "{% set n = namespace(t='a') %}{% for i in range(99) %}{% set n.t = n.t ~ n.t %}"
      "{% endfor %}");
  // What is written out counts, and what is shared counts each time.
  expect_large(
      "{% set n = namespace(a=[1]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}"
      "{% endfor %}{{ n.a }}");
  expect_large(
      "{% for i in range(99999) %}{% set x = namespace(a=1) %}{% for j in range(99) %}"
      "{% set x = namespace(x=x) %}{% endfor %}{% endfor %}");
}

TEST(HostileTemplate, NumbersAreBounded) {
  expect_refused("{{ 9223372036854775807 + 1 }}", "63 bits");
  expect_refused("{{ 9223372036854775808 }}", "63 bits");
  expect_refused("{{ -9223372036854775807 - 2 }}", "63 bits");
  expect_refused("{{ 9223372036854775807 * 2 }}", "63 bits");
  expect_refused("{{ 10 ** 9223372036854775807 }}", "63 bits");
  expect_refused("{{ (-9223372036854775807 - 1) // -1 }}", "63 bits");
  expect_refused("{{ -(-9223372036854775807 - 1) }}", "63 bits");
  expect_refused("{{ (-9223372036854775807 - 1) | abs }}", "63 bits");
  expect_refused("{{ 1e300 | int }}", "63 bits");
  expect_refused("{{ 10.0 ** 1000 }}", "too large");
  expect_refused("{{ (-1) ** 0.5 }}", "real");
  EXPECT_EQ(render("{{ (-9223372036854775807 - 1) % -1 }}"), "0");
  EXPECT_EQ(render("{{ 'abc'[::9223372036854775807] }}{{ 'abc'[::-9223372036854775807] }}"), "ac");
  EXPECT_EQ(render("{{ 'abc'[-9223372036854775807:9223372036854775807] }}"), "abc");
  EXPECT_EQ(render("{{ 1e999 | round(999999) }}"), "inf");
  EXPECT_EQ(render("{{ 5 | round(-9223372036854775807) }}"), "0");
}

TEST(HostileTemplate, RangesAreBounded) {
  expect_refused("{{ range(100001) }}", "at most 100000");
  expect_refused("{{ range(-9223372036854775807, 9223372036854775807) }}", "at most");
  expect_refused("{{ range(9223372036854775807, -9223372036854775807, -1) }}", "at most");
  EXPECT_EQ(render("{{ range(-9223372036854775807, 9223372036854775807, 9223372036854775807) | "
                   "list }}"),
            "[-9223372036854775807, 0]");
}

TEST(HostileTemplate, EvaluationIsBounded) {
  expect_refused("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "too deep");
  expect_refused("{% macro m(x) %}{{ [[[[[m(x + 1)]]]]] }}{% endmacro %}{{ m(0) }}", "too deep");
  expect_refused("{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{{ m() }}",
                 "too deep");
  expect_refused("{% macro m() %}{% for x in 'ab' if m() %}{% endfor %}{% endmacro %}{{ m() }}",
                 "too deep");
  expect_refused("{% macro m(a=m()) %}{% endmacro %}{{ m() }}", "too deep");
}

TEST(HostileTemplate, ValuesAreNotNestedWithoutEnd) {
  const std::string begin = "{% set n = namespace(a=1) %}{% for i in range(99999) %}{% set n.a = ";
  for (const char* more : {"[n.a]", "(n.a,)", "{1: n.a}", "[n.a] | reverse", "dict(x=n.a)",
                           "[n.a].count", "{1: n.a}.values()"}) {
    expect_refused(begin + more + " %}{% endfor %}", "nested deeper");
  }
  expect_refused(begin + "1 %}{% for j in [n.b] %}{% set n.b = loop %}{% endfor %}{% endfor %}",
                 "nested deeper");
}

TEST(HostileTemplate, NamespacesMayHoldEachOther) {
  EXPECT_EQ(render("{% set a = namespace() %}{% set a.a = a %}{% set a.b = [a] %}{{ a.a.b[0].a.b | "
                   "length }}"),
            "1");
  EXPECT_EQ(render("{% set n = namespace() %}{% for i in range(50000) %}{% set n.x = "
                   "namespace(x=n.x) %}{% endfor %}{{ n.x.x.x is defined }}"),
            "True");
  expect_refused("{% set a = namespace() %}{{ a }}", "no text");
}

TEST(HostileTemplate, WhatIsNoTextIsRefused) {
  expect_refused("{{ '\xff' }}", "UTF-8");
  expect_refused("\xe2\x82", "UTF-8");
  expect_error(ErrorKind::bad_input, "UTF-8", [] { render("{{ x }}", {{"x", "\xff"}}); });
  expect_error(ErrorKind::bad_input, "UTF-8", [] { render("{{ x }}", {{"x", {{"\xff", 1}}}}); });
  expect_error(ErrorKind::bad_input, "63 bits", [] {
    render("{{ x }}", {{"x", std::uint64_t{1} << 63U}});
  });
  OrderedJson deep = 1;
  for (int i = 0; i < 200; ++i) deep = OrderedJson::array({deep});
  expect_error(ErrorKind::bad_input, "nested deeper", [&] { render("", {{"x", deep}}); });
}

}  // namespace
}  // namespace terse::test
