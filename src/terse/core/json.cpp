#include "terse/core/json.h"

#include <string>
#include <unordered_set>
#include <vector>

#include "terse/core/error.h"
#include "terse/core/file.h"

namespace terse {
namespace {

constexpr std::size_t kMaximumDepth = 64;

// Builds the value while it refuses depth and repeated keys, before either costs anything.
class Builder : public nlohmann::detail::json_sax_dom_parser<Json> {
 public:
  explicit Builder(Json& value) : json_sax_dom_parser(value, true) {}

  bool start_object(std::size_t size) {
    enter();
    keys_.emplace_back();
    return json_sax_dom_parser::start_object(size);
  }
  bool end_object() {
    --depth_;
    keys_.pop_back();
    return json_sax_dom_parser::end_object();
  }
  bool start_array(std::size_t size) {
    enter();
    return json_sax_dom_parser::start_array(size);
  }
  bool end_array() {
    --depth_;
    return json_sax_dom_parser::end_array();
  }
  bool key(std::string& name) {
    if (!keys_.back().insert(name).second) throw bad_input("JSON repeats the key '{}'", name);
    return json_sax_dom_parser::key(name);
  }

 private:
  void enter() {
    if (++depth_ > kMaximumDepth) {
      throw bad_input("JSON is nested deeper than {} levels", kMaximumDepth);
    }
  }

  std::size_t depth_ = 0;
  std::vector<std::unordered_set<std::string>> keys_;
};

const Json* find(const Json& object, std::string_view key) {
  if (!object.is_object()) {
    throw bad_input("expected an object with the key '{}', found {}", key, object.type_name());
  }
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

const Json& require(const Json& object, std::string_view key, std::string_view expected) {
  const Json* value = find(object, key);
  if (value == nullptr) throw bad_input("key '{}' is missing; expected {}", key, expected);
  return *value;
}

Error wrong_type(std::string_view key, const Json& value, std::string_view expected) {
  return bad_input("key '{}': expected {}, found {}", key, expected, value.type_name());
}

}  // namespace

Json parse_json(std::string_view text) {
  Json root;
  Builder builder(root);
  try {
    Json::sax_parse(text.begin(), text.end(), &builder);
  } catch (const Json::exception& error) {
    std::string_view message = error.what();
    // Drop "[json.exception.parse_error.101] ".
    if (const auto end = message.find("] "); end != std::string_view::npos)
      message.remove_prefix(end + 2);
    throw bad_input("not valid JSON: {}", message);
  }
  return root;
}

Json read_json(const std::filesystem::path& path) {
  const std::string text = read_file(path);
  return with_context(path.string(), [&] { return parse_json(text); });
}

bool has_key(const Json& object, std::string_view key) {
  return find(object, key) != nullptr;
}

std::int64_t get_integer(const Json& object, std::string_view key) {
  const Json& value = require(object, key, "an integer");
  if (!value.is_number_integer() ||
      (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX)) {
    throw wrong_type(key, value, "an integer");
  }
  return value.get<std::int64_t>();
}

std::int64_t get_integer(const Json& object, std::string_view key, std::int64_t absent) {
  return has_key(object, key) ? get_integer(object, key) : absent;
}

double get_number(const Json& object, std::string_view key) {
  const Json& value = require(object, key, "a number");
  if (!value.is_number()) throw wrong_type(key, value, "a number");
  return value.get<double>();
}

double get_number(const Json& object, std::string_view key, double absent) {
  return has_key(object, key) ? get_number(object, key) : absent;
}

bool get_bool(const Json& object, std::string_view key, bool absent) {
  if (!has_key(object, key)) return absent;
  const Json& value = require(object, key, "true or false");
  if (!value.is_boolean()) throw wrong_type(key, value, "true or false");
  return value.get<bool>();
}

std::string get_string(const Json& object, std::string_view key) {
  const Json& value = require(object, key, "a string");
  if (!value.is_string()) throw wrong_type(key, value, "a string");
  return value.get<std::string>();
}

std::string get_string(const Json& object, std::string_view key, std::string_view absent) {
  return has_key(object, key) ? get_string(object, key) : std::string(absent);
}

const Json& get_object(const Json& object, std::string_view key) {
  const Json& value = require(object, key, "an object");
  if (!value.is_object()) throw wrong_type(key, value, "an object");
  return value;
}

const Json& get_array(const Json& object, std::string_view key) {
  const Json& value = require(object, key, "an array");
  if (!value.is_array()) throw wrong_type(key, value, "an array");
  return value;
}

}  // namespace terse
