// Reads a template into its syntax tree.
#pragma once

#include <string_view>

#include "terse/chat/template_syntax.h"

namespace terse::chat {

/// Errors: bad_input that names the line and says what is wrong there.
Body parse_template(std::string_view source);

}  // namespace terse::chat
