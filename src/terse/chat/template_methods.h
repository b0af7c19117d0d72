// The methods of strings, lists and dicts.
#pragma once

#include <optional>
#include <string_view>

#include "terse/chat/template_value.h"

namespace terse::chat {

/// A method that belongs to a value; `name` is what errors call it.
struct Method {
  std::string_view name;
  Value (*call)(Runtime& runtime, const Value& self, std::string_view name,
                const Arguments& arguments);
};

/// The method `name` of the value, to be called; nothing when it has none. Methods that change a
/// list or a dict are none, as in the sandbox. Errors: bad_input for methods that Python has and
/// this does not.
std::optional<Value> find_method(const Value& value, std::string_view name);

/// Null when strings have no such method.
const Method* find_string_method(std::string_view name);

}  // namespace terse::chat
