// The 256 printable characters that stand for bytes in byte-level vocabularies (GPT-2, Radford et
// al. 2019): a printable byte of Latin-1 stands for itself, the others follow from U+0100.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace terse {

/// Every byte of `bytes` as its character, in UTF-8.
std::string to_byte_characters(std::string_view bytes);

/// The bytes that `text` (UTF-8) stands for; nothing when a character stands for no byte.
std::optional<std::string> from_byte_characters(std::string_view text);

}  // namespace terse
