// Python's operators on values. Errors are bad_input and name the types.
#pragma once

#include <string_view>

#include "terse/chat/template_value.h"

namespace terse::chat {

enum class Arithmetic { add, subtract, multiply, divide, floor_divide, remainder, power };

/// Python's bool().
bool truth(const Value& value);

/// Errors besides types: division by zero, integers above 63 bits.
Value calculate(Runtime& runtime, Arithmetic operation, const Value& left, const Value& right);
Value negative(const Value& value);
Value positive(const Value& value);

bool equal(Heap& heap, const Value& left, const Value& right);
/// Numbers, strings by code points, lists and tuples item by item.
bool less(Heap& heap, const Value& left, const Value& right);
/// Python's `in`.
bool contains(Heap& heap, const Value& container, const Value& item);

/// The error for an undefined value where one is needed; says what was looked for.
[[noreturn]] void refuse_undefined(const Value& value);

}  // namespace terse::chat
