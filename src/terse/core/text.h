// Small helpers on text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace terse {

/// The candidate with the smallest edit distance to `word`; empty when there is no candidate.
std::string nearest_word(std::string_view word, const std::vector<std::string>& candidates);

/// `text` with every `from` replaced by `to`; `from` must not be empty.
std::string replace_all(std::string text, std::string_view from, std::string_view to);

/// "11.5 MB": bytes in powers of 1000 with three digits.
std::string bytes_text(std::uint64_t bytes);

/// Length of the longest prefix of `text` that does not end inside a UTF-8 character.
std::size_t complete_utf8_prefix(std::string_view text);

}  // namespace terse
