// Parts of values: attributes, items, slices, what a loop goes through.
#pragma once

#include <optional>
#include <string_view>

#include "terse/chat/template_value.h"

namespace terse::chat {

/// `value.name`: a method or an attribute, else the item of that key, else undefined.
/// Errors: bad_input when `value` itself is undefined.
Value attribute_of(Runtime& runtime, const Value& value, std::string_view name);

/// `value[key]`: the item, else the attribute of that name, else undefined.
/// Errors: bad_input when `value` itself is undefined.
Value item_of(Runtime& runtime, const Value& value, const Value& key);

/// `value[start:stop:step]`; each may be none. Errors: bad_input for what has no places, for bounds
/// that are no integers, and for a step of 0.
Value slice_of(Runtime& runtime, const Value& value, const Value& start, const Value& stop,
               const Value& step);

/// `path` is an attribute, an index, or several joined by points, as filters take them.
Value item_at_path(Runtime& runtime, const Value& value, const Value& path);

bool is_iterable(const Value& value);
/// Everything that a loop over `value` sees; an iterator is spent by it. Errors: bad_input.
Values items_of(Runtime& runtime, const Value& value);
/// Python's len(); nothing for what has none.
std::optional<std::size_t> length_of(const Value& value);

}  // namespace terse::chat
