// Runs the syntax tree of a template.
#pragma once

#include <ctime>
#include <string>

#include "terse/chat/template_json.h"
#include "terse/chat/template_syntax.h"

namespace terse::chat {

/// The text that the template gives with these variables (an object). Errors: bad_input that names
/// the line, or has the message that the template itself raised.
std::string run_template(const Body& body, const OrderedJson& variables, const std::tm& now,
                         TemplateLimits limits);

}  // namespace terse::chat
