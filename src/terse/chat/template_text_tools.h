// Cutting, stripping and replacing, for the methods and the filters of strings.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "terse/chat/template_value.h"

namespace terse::chat {

/// Where `what` begins for the last time within the first `end` bytes; npos when nowhere.
std::size_t find_last(Heap& heap, std::string_view text, std::string_view what, std::size_t end);

/// Without white space, or what `characters` names, at its start and its end.
std::string_view stripped(Heap& heap, std::string_view text, const std::string* characters,
                          bool start, bool end);

/// Python's str.split and str.rsplit: a null separator is white space, a negative `most` no bound.
/// Errors: bad_input when the separator is empty.
std::vector<std::string_view> split_text(Heap& heap, std::string_view text,
                                         const std::string* separator, std::int64_t most,
                                         bool from_end);

/// Python's str.splitlines.
std::vector<std::string_view> lines_of(Heap& heap, std::string_view text, bool keep_ends);

/// Python's str.replace: the first `most` places, all when that is negative.
Value replaced(Heap& heap, std::string_view text, std::string_view from, std::string_view to,
               std::int64_t most);

/// Characters that a text lacks to be `width` long.
std::uint64_t missing_width(std::int64_t width, std::string_view text);

}  // namespace terse::chat
