// The tests: value is name(arguments).
#pragma once

#include <string_view>

#include "terse/chat/template_value.h"

namespace terse::chat {

/// Errors: bad_input for a test that is unknown, and whatever the test refuses.
bool apply_test(Runtime& runtime, std::string_view name, const Value& value,
                const Arguments& arguments);

}  // namespace terse::chat
