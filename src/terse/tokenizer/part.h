// What the parts of a tokenizer.json have in common: each is an object with its kind under `type`.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "terse/core/error.h"
#include "terse/core/json.h"

namespace terse {

/// The error for a kind of part that no reader knows; `role` is "normalizer" and the like.
Error unknown_part(std::string_view role, std::string_view type);

/// The objects under `key` of a Sequence. Errors: bad_input when one is no object.
std::vector<const Json*> get_parts(const Json& sequence, std::string_view key);

/// A key that must hold exactly one character. Errors: bad_input.
char32_t get_character(const Json& object, std::string_view key);

/// A key that must hold an integer from 0 to `maximum`. Errors: bad_input.
std::int64_t get_count(const Json& object, std::string_view key, std::int64_t maximum);

/// A key that must hold true or false and must be there. Errors: bad_input.
bool require_bool(const Json& object, std::string_view key);

/// A few characters of a tokenizer file can ask for a text that does not fit in memory (a Sequence
/// of replacements that grow it). Errors: failed when a text of `before` bytes became longer than
/// 64 times that and 1 MiB.
void check_growth(std::size_t before, std::size_t after);

}  // namespace terse
