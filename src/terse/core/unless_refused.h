// What can be done, where trying is how one finds out.
#pragma once

#include <optional>

#include "terse/core/error.h"

namespace terse {

/// What `make` makes; nothing where a method refuses the model or its options (bad_usage).
template <class Make>
auto unless_refused(const Make& make) -> std::optional<decltype(make())> {
  try {
    return make();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::usage) throw;
    return std::nullopt;
  }
}

}  // namespace terse
