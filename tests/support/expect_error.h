// Expectations about terse::Error.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "terse/core/error.h"

namespace terse::test {

/// Runs `body` and expects an Error of `kind` whose message is one line that contains `part`.
template <class Body>
void expect_error(ErrorKind kind, const std::string& part, const Body& body) {
  try {
    body();
    ADD_FAILURE() << "no error; expected one that says: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_THAT(error.what(), ::testing::HasSubstr(part));
    EXPECT_THAT(error.what(), ::testing::Not(::testing::HasSubstr("\n")));
  }
}

}  // namespace terse::test
