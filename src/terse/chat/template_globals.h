// The functions that every template can call: range, dict, namespace, joiner,
// raise_exception and strftime_now.
#pragma once

#include <optional>
#include <string_view>

#include "terse/chat/template_value.h"
#include "terse/core/error.h"

namespace terse::chat {

/// What raise_exception throws: the message is the template's own, and nothing is put before it.
class RaisedByTemplate : public Error {
 public:
  using Error::Error;
};

/// Nothing when there is no such function.
std::optional<Value> find_global(std::string_view name);

/// Sets an attribute of a namespace. Errors: bad_input when `object` is none.
void set_attribute(const Value& object, std::string_view name, Value value);

}  // namespace terse::chat
