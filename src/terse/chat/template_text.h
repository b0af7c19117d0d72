// The text of values: Python's str() and repr().
#pragma once

#include <string>
#include <string_view>

#include "terse/chat/template_value.h"

namespace terse::chat {

/// Python's repr of a float: the fewest digits that read back as the same number.
std::string real_text(double value);

/// Python's str(): what {{ }} writes. Errors: bad_input for what Python would write with an address
/// in memory (iterators, functions).
void append_text(BoundedText& out, const Value& value);
void append_repr(BoundedText& out, const Value& value);
std::string text_of(Heap& heap, const Value& value);

}  // namespace terse::chat
