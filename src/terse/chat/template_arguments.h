// What a function of this room was called with, by the names of its parameters.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "terse/chat/template_value.h"

namespace terse::chat {

/// Positional and named arguments in the order of the parameters. Errors of all functions:
/// bad_input that names the function and the parameter.
class Parameters {
 public:
  /// The first `required` parameters must be given.
  Parameters(std::string_view function, const Arguments& arguments,
             std::initializer_list<std::string_view> names, std::size_t required = 0);

  bool has(std::size_t index) const { return values_[index] != nullptr; }
  /// Whether it is given and not none.
  bool is_set(std::size_t index) const {
    return has(index) && !values_[index]->is(Value::Kind::none);
  }
  const Value& at(std::size_t index) const { return *values_[index]; }
  Value value(std::size_t index, const Value& absent) const {
    return has(index) ? at(index) : absent;
  }

  const std::string& text(std::size_t index) const;
  std::int64_t integer(std::size_t index) const;
  std::int64_t integer(std::size_t index, std::int64_t absent) const {
    return has(index) ? integer(index) : absent;
  }
  bool flag(std::size_t index, bool absent) const;

 private:
  std::string function_;
  std::vector<std::string_view> names_;
  std::vector<const Value*> values_;
};

}  // namespace terse::chat
