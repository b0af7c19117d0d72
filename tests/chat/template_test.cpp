// What the table of Jinja's results cannot say: messages and lines of errors, and where this
// differs from Jinja on purpose.
#include <gtest/gtest.h>

#include <thread>

#include "chat/support.h"
#include "support/expect_error.h"

namespace terse::test {
namespace {

void expect_refused(const std::string& text, const std::string& message) {
  SCOPED_TRACE(text);
  expect_error(ErrorKind::bad_input, message, [&] { render(text); });
}

TEST(Template, ErrorsOfSyntaxNameTheLine) {
  expect_refused("\n\n{{ 1 + }}", "line 3: expected an expression, found '}}'");
  expect_refused("a\r\nb\r\n{% if x %}\n",
                 "line 3: expected 'endif', found the end of the template");
  expect_refused("{% for x in y %}{% endif %}", "line 1: the statement 'endif' is unknown here");
  expect_refused("\n{# open", "line 2: a comment has no end");
  expect_refused("\n{{ 'open }}", "line 2: a string has no end");
  expect_refused("\n{{ (1] }}", "line 2: unexpected ']'");
  expect_refused("{{ 1 ? 2 }}", "line 1: unexpected '?'");
  expect_refused("{% raw %}\n", "a raw block has no end");
  expect_refused("{% include 'x' %}", "line 1: the statement 'include' is unknown here");
  expect_refused("{% for x in y recursive %}{% endfor %}", "recursive loops are not supported");
  expect_refused("{{ f(*x) }}", "not supported");
  expect_refused("{{ '\\N{DASH}' }}", "line 1: the escape \\N in a string is not supported");
  expect_refused("{{ '\\ud800' }}", "stands for no character");
  expect_refused("{{ x[1, 2] }}", "not supported");
  expect_refused("{{ f(a=1, 2) }}", "positional argument");
}

TEST(Template, ErrorsOfRenderingNameTheLine) {
  expect_refused("\n{{ foo.bar }}", "line 2: 'foo' is undefined");
  expect_refused("\n{{ {'a': 1}.b.c }}", "line 2: a value of type dict has no 'b'");
  expect_refused("{{ 1 +\n foo.bar\n }}", "line 2: 'foo' is undefined");
  expect_refused("{{ 1 +\n\n ('a' ~\n 'b') }}", "line 1: the operator + does not take int and str");
  expect_refused("{% macro m(x) %}\n{{ x.y }}{% endmacro %}\n\n{{ m() }}",
                 "line 2: 'x' was not given");
  expect_refused("\n{{ 'a' | foo }}", "line 2: there is no filter 'foo'");
  expect_refused("\n{{ 'a' is foo }}", "line 2: there is no test 'foo'");
  expect_refused("{{ foo() }}", "line 1: 'foo' is undefined");
  expect_refused("{{ 'a'() }}", "a value of type str cannot be called");
  expect_refused("{{ 'a' < 1 }}", "str and int have no order");
  expect_refused("{% for a, b in [[1]] %}{% endfor %}", "1 values are assigned to 2 names");
  expect_refused("{{ 'a'.replace('b') }}", "replace lacks the argument 'new'");
  expect_refused("{{ 'a'.replace('b', 1) }}", "replace expects a string as 'new', not int");
  expect_refused("{{ 'a' | trim(x=1) }}", "trim has no argument 'x'");
  expect_refused("{{ 'a' | trim('a', 'b') }}", "trim takes at most 1 arguments, not 2");
  expect_refused("{{ 'a'.encode() }}", "the method 'encode' of strings is not supported");
}

TEST(Template, RaisedMessagesStandAlone) {
  try {
    render("\n{{ raise_exception('Roles must\nalternate') }}");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_input);
    EXPECT_STREQ(error.what(), "Roles must\\x0aalternate");
  }
}

TEST(Template, AddressesAreNoText) {
  expect_refused("{{ [1] | map('string') }}", "the filter `list` makes it one");
  expect_refused("{{ range(3) }}", "the filter `list` makes it one");
  expect_refused("{{ 'a'.upper }}", "has no text");
  expect_refused("{{ range }}", "has no text");
}

TEST(Template, UnknownDirectivesOfDatesAreRefused) {
  expect_refused("{{ strftime_now('%Q') }}", "does not know %Q");
  expect_refused("{{ strftime_now('a%') }}", "ends in a %");
  EXPECT_EQ(render("{{ strftime_now('%e|%-m|%f|%z') }}"), "26|7|000000|");
}

TEST(Template, LimitsCanBeSet) {
  expect_error(ErrorKind::bad_input, "more than 100 steps", [] {
    render("{% for i in range(100) %}{{ i }}{% endfor %}", OrderedJson::object(), {100, 1 << 20});
  });
  expect_error(ErrorKind::bad_input, "more than 1000 bytes", [] {
    render("{{ 'a' * 2000 }}", OrderedJson::object(), {100, 1000});
  });
}

TEST(Template, ThreadsRenderAtOnce) {
  const chat::Template text = chat::Template::parse(
      "{% set a = 'x' %}{% for i in range(1000) %}{{ a ~ 'y' if i is odd else n }}{% endfor %}");
  const std::string expected = text.render({{"n", "z"}}, fixed_time());
  std::vector<std::thread> threads;
  std::vector<std::string> results(4);
  for (std::string& result : results) {
    threads.emplace_back([&] { result = text.render({{"n", "z"}}, fixed_time()); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& result : results) EXPECT_EQ(result, expected);
}

}  // namespace
}  // namespace terse::test
