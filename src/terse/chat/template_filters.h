// The filters: value | name(arguments).
#pragma once

#include <string_view>

#include "terse/chat/template_value.h"

namespace terse::chat {

/// Errors: bad_input for a filter that is unknown, and whatever the filter refuses.
Value apply_filter(Runtime& runtime, std::string_view name, const Value& value,
                   const Arguments& arguments);

using Filter = Value (*)(Runtime& runtime, std::string_view name, const Value& value,
                         const Arguments& arguments);

/// The filters of texts and numbers, and those of lists; null when there is none of that name.
Filter find_text_filter(std::string_view name);
Filter find_list_filter(std::string_view name);

}  // namespace terse::chat
