// Targets of a quantization config: names, classes and regular expressions of modules.
#pragma once

#include <string>
#include <string_view>

namespace terse {

/// Whether a target is a regular expression: "re:…".
bool is_regex_target(std::string_view target);

/// Whether a target names the module: equal to it, or a regular expression that matches from its
/// start (as Python's re.match does). Errors: bad_input for an expression that is none or that
/// takes too long.
bool target_matches_name(const std::string& target, std::string_view module_name);

/// Errors: bad_input for a regular expression that is none.
void check_target(const std::string& target);

}  // namespace terse
