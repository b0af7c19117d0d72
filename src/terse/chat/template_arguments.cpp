#include "terse/chat/template_arguments.h"

#include <algorithm>

#include "terse/chat/template_operators.h"
#include "terse/core/error.h"

namespace terse::chat {

Parameters::Parameters(std::string_view function, const Arguments& arguments,
                       std::initializer_list<std::string_view> names, std::size_t required)
    : function_(function), names_(names), values_(names.size(), nullptr) {
  if (arguments.positional.size() > names_.size()) {
    throw bad_input("{} takes at most {} arguments, not {}", function_, names_.size(),
                    arguments.positional.size());
  }
  for (std::size_t i = 0; i < arguments.positional.size(); ++i) {
    values_[i] = &arguments.positional[i];
  }
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::find(names_.begin(), names_.end(), name);
    if (found == names_.end()) throw bad_input("{} has no argument '{}'", function_, name);
    const Value*& slot = values_[static_cast<std::size_t>(found - names_.begin())];
    if (slot != nullptr) throw bad_input("{} is given '{}' twice", function_, name);
    slot = &value;
  }
  for (std::size_t i = 0; i < required; ++i) {
    if (!has(i)) throw bad_input("{} lacks the argument '{}'", function_, names_[i]);
  }
}

const std::string& Parameters::text(std::size_t index) const {
  if (at(index).is(Value::Kind::undefined)) refuse_undefined(at(index));
  if (!at(index).is_string()) {
    throw bad_input("{} expects a string as '{}', not {}", function_, names_[index],
                    at(index).type());
  }
  return at(index).string();
}

std::int64_t Parameters::integer(std::size_t index) const {
  if (at(index).is(Value::Kind::undefined)) refuse_undefined(at(index));
  if (!at(index).is_integer()) {
    throw bad_input("{} expects an integer as '{}', not {}", function_, names_[index],
                    at(index).type());
  }
  return at(index).as_integer();
}

bool Parameters::flag(std::size_t index, bool absent) const {
  return has(index) ? truth(at(index)) : absent;
}

}  // namespace terse::chat
