// What the tests of pruners share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "methods/random_problems.h"
#include "terse/core/error.h"
#include "terse/methods/method.h"

namespace terse::testing {

using Given = std::map<std::string, std::string>;

inline MethodOptions options_of(const std::string& method, const Given& given) {
  return {MethodRegistry::instance().find(method), given};
}

inline LinearResult compress(const std::string& method, const Given& given, LinearProblem problem) {
  return make_linear_method(method, options_of(method, given), {})->compress(std::move(problem));
}

inline Matrix prune(const std::string& method, const Given& given, const Matrix& weight,
                    const InputStatistics* inputs = nullptr, bool keep_zeros = false) {
  return std::get<Matrix>(compress(method, given, {"layer", weight, inputs, keep_zeros}));
}

inline std::int64_t zeros_of(const Matrix& matrix) {
  return (matrix.array() == 0.0F).count();
}

inline bool same_bytes(const Matrix& a, const Matrix& b) {
  return a.rows() == b.rows() && a.cols() == b.cols() &&
         std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.size()) * sizeof(float)) == 0;
}

/// Whether every `size` consecutive values of every row hold exactly `zeros` zeros.
inline bool has_pattern(const Matrix& matrix, std::int64_t zeros, std::int64_t size) {
  for (std::int64_t r = 0; r < matrix.rows(); ++r) {
    for (std::int64_t c = 0; c < matrix.cols(); c += size) {
      if (zeros_of(matrix.block(r, c, 1, size)) != zeros) return false;
    }
  }
  return true;
}

/// The message of the Error that `body` throws, "" when it throws none; checks the kind.
template <class Body>
std::string message_of(ErrorKind kind, const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  return "";
}

}  // namespace terse::testing
