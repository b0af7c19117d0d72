// In words, where two JSON values differ: why an unfinished output cannot be continued.
#pragma once

#include <string>

#include "terse/core/json.h"

namespace terse {

/// The first difference, keys in their order: "steps[1].bits: 4 before, 3 now",
/// "output.sparse: absent before, \"dense\" now", "steps: 2 entries before, 3 now". Empty when
/// there is none.
std::string first_difference(const Json& before, const Json& now);

}  // namespace terse
