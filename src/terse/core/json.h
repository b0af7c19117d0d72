// JSON read from files that nobody vouches for: bounded depth, and errors that name the key.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace terse {

/// Objects hold their keys sorted, as Hugging Face writes its configs.
using Json = nlohmann::json;

/// Parses a text. Errors: bad_input when it is no JSON, is nested deeper than 64, repeats a key,
/// or is not UTF-8.
Json parse_json(std::string_view text);

/// Parses a file; errors name it.
Json read_json(const std::filesystem::path& path);

/// Typed access to the keys of an object; errors (bad_input) say the key, what was found and what
/// was expected. `object` itself must be an object. A key that holds null counts as absent.
bool has_key(const Json& object, std::string_view key);
std::int64_t get_integer(const Json& object, std::string_view key);
std::int64_t get_integer(const Json& object, std::string_view key, std::int64_t absent);
double get_number(const Json& object, std::string_view key);
double get_number(const Json& object, std::string_view key, double absent);
bool get_bool(const Json& object, std::string_view key, bool absent);
std::string get_string(const Json& object, std::string_view key);
std::string get_string(const Json& object, std::string_view key, std::string_view absent);
const Json& get_object(const Json& object, std::string_view key);
const Json& get_array(const Json& object, std::string_view key);

}  // namespace terse
