// JSON to values, and values to JSON as Python's json.dumps writes it.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "terse/chat/template_value.h"

namespace terse {

/// JSON whose objects keep their keys in the order in which they came.
using OrderedJson = nlohmann::ordered_json;

namespace chat {

/// Errors: bad_input for strings that are not UTF-8, integers above 63 bits, depth above
/// kMaximumNesting.
Value from_json(Heap& heap, const OrderedJson& json);

/// The options of json.dumps.
struct JsonStyle {
  bool ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent;
  std::string between_items = ", ";
  std::string after_key = ": ";
};

/// Errors: bad_input for what JSON cannot hold, undefined values among it.
void append_json(BoundedText& out, const Value& value, const JsonStyle& style);

}  // namespace chat
}  // namespace terse
