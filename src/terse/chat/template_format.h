// Python's text % values.
#pragma once

#include <string_view>

#include "terse/chat/template_value.h"

namespace terse::chat {

/// `values` is a tuple of values, a dict for %(name)s, or one value. Conversions: s, r,
/// d, i, x, X, o, f, F, e, E, g, G and %%. Errors: bad_input for others and for values that do
/// not fit.
Value format_text(Heap& heap, std::string_view format, const Value& values);

}  // namespace terse::chat
