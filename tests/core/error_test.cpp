#include "terse/core/error.h"

#include <gtest/gtest.h>

namespace terse {
namespace {

TEST(Error, KindsAreTheExitCodes) {
  EXPECT_EQ(failure("x").exit_code(), 1);
  EXPECT_EQ(bad_usage("x").exit_code(), 2);
  EXPECT_EQ(bad_input("x").exit_code(), 3);
}

TEST(Error, ContextIsPrependedOnItsWay) {
  try {
    with_context("file", [] { with_context("tensor", [] { throw bad_input("{} bytes", 3); }); });
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "file: tensor: 3 bytes");
    EXPECT_EQ(error.kind(), ErrorKind::bad_input);
  }
  EXPECT_EQ(with_context("x", [] { return 7; }), 7);
}

TEST(Error, IsOneLineWhateverNamesHold) {
  Error error = bad_input("tensor {}", std::string_view("a\nb\0\x1b[2J\x7f\xc3\xa9", 11));
  error.add_context("two\r\nlines");
  EXPECT_STREQ(error.what(), "two\\x0d\\x0alines: tensor a\\x0ab\\x00\\x1b[2J\\x7f\xc3\xa9");
}

}  // namespace
}  // namespace terse
