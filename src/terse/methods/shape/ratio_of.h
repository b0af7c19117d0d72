// What the ratio of a shape method is a share of.
#pragma once

#include <string>
#include <string_view>

#include "terse/core/method_registry.h"

namespace terse {

inline constexpr const char* kRatioOf = "ratio_of";
inline constexpr const char* kOperations = "operations";
inline constexpr const char* kTime = "time";

/// Whether a value of the option is a cost, for which the recipe finds the method's own ratio
/// (recipe/ratio_target.h).
inline bool is_cost(std::string_view value) {
  return value == kOperations || value == kTime;
}

/// Whether a share is asked for, which sizes would contradict.
inline bool gives_ratio(const MethodOptions& options) {
  return options.given("ratio") || options.given(kRatioOf);
}

/// The option of a method that counts `own` itself.
inline MethodOption ratio_of_option(const std::string& own) {
  return {kRatioOf,
          own,
          "What the ratio is a share of: " + own +
              ", the blocks' operations per token, or their time as it is measured on this machine",
          {own, kOperations, kTime},
          0,
          0,
          true};
}

}  // namespace terse
