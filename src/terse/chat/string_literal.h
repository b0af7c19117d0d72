// What the text between the quotes of a string literal stands for.
#pragma once

#include <string>
#include <string_view>

namespace terse::chat {

/// Python's escapes; one that is unknown stays as it is. Errors: bad_input for \N{...}, for digits
/// that are missing and for what is no character.
std::string decode_literal(std::string_view text);

}  // namespace terse::chat
