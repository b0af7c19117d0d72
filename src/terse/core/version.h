#pragma once

#include <string_view>

namespace terse {

/// The version of the library, "major.minor.patch".
std::string_view version();

}  // namespace terse
