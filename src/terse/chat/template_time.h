// Dates as Python's strftime writes them.
#pragma once

#include <ctime>
#include <string_view>

#include "terse/chat/template_value.h"

namespace terse::chat {

/// A local time that knows no zone. Errors: bad_input for a directive that is unknown.
Value format_time(Heap& heap, std::string_view format, const std::tm& time);

}  // namespace terse::chat
