// Filters of texts and numbers.
#include <algorithm>
#include <cmath>
#include <iterator>

#include "terse/chat/code_points.h"
#include "terse/chat/template_access.h"
#include "terse/chat/template_arguments.h"
#include "terse/chat/template_filters.h"
#include "terse/chat/template_format.h"
#include "terse/chat/template_json.h"
#include "terse/chat/template_numbers.h"
#include "terse/chat/template_operators.h"
#include "terse/chat/template_text.h"
#include "terse/chat/template_text_tools.h"
#include "terse/core/error.h"

namespace terse::chat {
namespace {

std::string text_for(Runtime& runtime, const Value& value) {
  std::string text = text_of(runtime.heap, value);
  runtime.heap.work(1 + text.size() / 8);
  return text;
}

template <std::string (*change)(std::string_view)>
Value changed(Runtime& runtime, std::string_view name, const Value& value,
              const Arguments& arguments) {
  const Parameters none(name, arguments, {});
  return make_string(runtime.heap, change(text_for(runtime, value)));
}

std::string unchanged(std::string_view text) {
  return std::string(text);
}

// A word begins after white space, a hyphen or an opening bracket; apostrophes are within words.
std::string title(std::string_view text) {
  std::string made;
  bool within = false;
  for (const std::string_view character : Characters(text)) {
    made += within ? to_lower(character) : to_upper(character);
    const bool opens = std::string_view("-({[<").find(character) != std::string_view::npos;
    within = !opens && !is_space(code_point_at(character, 0));
  }
  return made;
}

Value trim(Runtime& runtime, std::string_view name, const Value& value,
           const Arguments& arguments) {
  const Parameters given(name, arguments, {"chars"});
  const std::string* characters = given.is_set(0) ? &given.text(0) : nullptr;
  const std::string text = text_for(runtime, value);
  return make_string(runtime.heap,
                     std::string(stripped(runtime.heap, text, characters, true, true)));
}

Value replace(Runtime& runtime, std::string_view name, const Value& value,
              const Arguments& arguments) {
  const Parameters given(name, arguments, {"old", "new", "count"}, 2);
  const std::int64_t most = given.is_set(2) ? given.integer(2) : -1;
  return replaced(runtime.heap, text_for(runtime, value), text_for(runtime, given.at(0)),
                  text_for(runtime, given.at(1)), most);
}

Value center(Runtime& runtime, std::string_view name, const Value& value,
             const Arguments& arguments) {
  const Parameters given(name, arguments, {"width"});
  const std::string text = text_for(runtime, value);
  const std::int64_t width = given.integer(0, 80);
  const std::uint64_t total = missing_width(width, text);
  BoundedText made(runtime.heap);
  const std::uint64_t before = total / 2 + (total & static_cast<std::uint64_t>(width) & 1U);
  made.append(before, ' ');
  made.append(text);
  made.append(total - before, ' ');
  return make_string(made);
}

std::string html_escaped(char32_t character) {
  switch (character) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '\'':
      return "&#39;";
    case '"':
      return "&#34;";
    default:
      return {};
  }
}

Value escape(Runtime& runtime, std::string_view name, const Value& value,
             const Arguments& arguments) {
  const Parameters none(name, arguments, {});
  BoundedText made(runtime.heap);
  append_escaping(made, text_for(runtime, value), html_escaped);
  return make_string(made);
}

Value indent(Runtime& runtime, std::string_view name, const Value& value,
             const Arguments& arguments) {
  const Parameters given(name, arguments, {"width", "first", "blank"});
  if (!value.is_string()) throw bad_input("{} expects a string, not {}", name, value.type());
  BoundedText margin(runtime.heap);
  if (given.has(0) && given.at(0).is_string()) {
    margin.append(given.text(0));
  } else {
    const std::int64_t width = given.integer(0, 4);
    margin.append(width < 0 ? 0 : static_cast<std::uint64_t>(width), ' ');
  }
  const bool blank = given.flag(2, false);
  BoundedText made(runtime.heap);
  if (given.flag(1, false)) made.append(margin.text());
  // A text that ends in a line end keeps it: there is an empty line behind.
  const std::string text = value.string() + "\n";
  bool first = true;
  for (const std::string_view line : lines_of(runtime.heap, text, false)) {
    if (!first) made.append("\n");
    if (!first && (blank || !line.empty())) made.append(margin.text());
    first = false;
    made.append(line);
  }
  return make_string(made);
}

Value format(Runtime& runtime, std::string_view name, const Value& value,
             const Arguments& arguments) {
  if (!arguments.named.empty() && !arguments.positional.empty()) {
    throw bad_input("{} takes positional or named arguments, not both", name);
  }
  const std::string text = text_for(runtime, value);
  if (arguments.named.empty()) {
    return format_text(runtime.heap, text,
                       make_sequence(runtime.heap, arguments.positional, Sequence::Form::tuple));
  }
  Dict dict(runtime.heap);
  for (const auto& [key, argument] : arguments.named) {
    dict.set(make_string(runtime.heap, key), argument);
  }
  return format_text(runtime.heap, text, make_dict(std::move(dict)));
}

Value word_count(Runtime& runtime, std::string_view name, const Value& value,
                 const Arguments& arguments) {
  const Parameters none(name, arguments, {});
  const std::string text = text_for(runtime, value);
  std::int64_t words = 0;
  bool within = false;
  for (const std::string_view piece : Characters(text)) {
    const char32_t character = code_point_at(piece, 0);
    const bool word = is_letter(character) || is_number_like(character) || character == '_';
    if (word && !within) ++words;
    within = word;
  }
  return Value::integer(words);
}

std::optional<std::string> json_indent(Runtime& runtime, const Parameters& given) {
  if (!given.is_set(1)) return std::nullopt;
  if (given.at(1).is_string()) return given.text(1);
  const std::int64_t width = given.integer(1);
  BoundedText margin(runtime.heap);
  margin.append(width < 0 ? 0 : static_cast<std::uint64_t>(width), ' ');
  return margin.release();
}

Value to_json(Runtime& runtime, std::string_view name, const Value& value,
              const Arguments& arguments) {
  const Parameters given(name, arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ascii = given.flag(0, false);
  style.indent = json_indent(runtime, given);
  style.sort_keys = given.flag(3, false);
  // A comma before a line end has no space behind it.
  if (style.indent) style.between_items.resize(1);
  if (given.is_set(2)) {
    const Values pair = items_of(runtime, given.at(2));
    if (pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string()) {
      throw bad_input("{} expects two strings as 'separators'", name);
    }
    style.between_items = pair[0].string();
    style.after_key = pair[1].string();
  }
  BoundedText made(runtime.heap);
  append_json(made, value, style);
  return make_string(made);
}

Value to_integer(Runtime&, std::string_view name, const Value& value, const Arguments& arguments) {
  const Parameters given(name, arguments, {"default", "base"});
  Value absent = given.value(0, Value::integer(0));
  if (value.is(Value::Kind::undefined)) refuse_undefined(value);
  if (value.is_integer()) return Value::integer(value.as_integer());
  std::optional<double> real;
  if (value.is_string()) {
    const std::int64_t base = given.integer(1, 10);
    if (base != 0 && (base < 2 || base > 36)) throw bad_input("{} has no base {}", name, base);
    const auto integer = parse_integer(value.string(), static_cast<int>(base));
    if (integer) return Value::integer(*integer);
    real = parse_real(value.string());
  } else if (value.is(Value::Kind::real)) {
    real = value.as_real();
  }
  if (!real || !std::isfinite(*real)) return absent;
  if (std::abs(*real) >= 0x1p63) throw bad_input("{}: a number needs more than 63 bits", name);
  return Value::integer(static_cast<std::int64_t>(*real));
}

Value to_real(Runtime&, std::string_view name, const Value& value, const Arguments& arguments) {
  const Parameters given(name, arguments, {"default"});
  if (value.is(Value::Kind::undefined)) refuse_undefined(value);
  if (value.is_number()) return Value::real(value.as_real());
  const auto real = value.is_string() ? parse_real(value.string()) : std::nullopt;
  return real ? Value::real(*real) : given.value(0, Value::real(0));
}

void require_number(std::string_view name, const Value& value) {
  if (value.is(Value::Kind::undefined)) refuse_undefined(value);
  if (!value.is_number()) throw bad_input("{} expects a number, not {}", name, value.type());
}

Value absolute(Runtime&, std::string_view name, const Value& value, const Arguments& arguments) {
  const Parameters none(name, arguments, {});
  require_number(name, value);
  if (value.is(Value::Kind::real)) return Value::real(std::abs(value.as_real()));
  return value.as_integer() < 0 ? negative(value) : positive(value);
}

Value round(Runtime&, std::string_view name, const Value& value, const Arguments& arguments) {
  const Parameters given(name, arguments, {"precision", "method"});
  require_number(name, value);
  const std::int64_t digits = given.integer(0, 0);
  const std::string method = given.has(1) ? given.text(1) : "common";
  if (method == "common") {
    if (value.is_integer() && digits >= 0) return Value::integer(value.as_integer());
    const double result = rounded(value.as_real(), digits);
    if (value.is_integer() && std::abs(result) >= 0x1p63) {
      throw bad_input("{}: the number is too large", name);
    }
    return value.is_integer() ? Value::integer(static_cast<std::int64_t>(result))
                              : Value::real(result);
  }
  if (method != "ceil" && method != "floor") {
    throw bad_input("{} knows the methods common, ceil and floor", name);
  }
  if (digits < -300 || digits > 300) throw bad_input("{} takes up to 300 digits", name);
  const double unit = std::pow(10.0, static_cast<double>(digits));
  const double scaled = value.as_real() * unit;
  if (!std::isfinite(scaled)) throw bad_input("{}: the number is too large", name);
  return Value::real((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / unit);
}

struct Entry {
  std::string_view name;
  Filter filter;
};

constexpr Entry kFilters[] = {
    {"abs", absolute},
    {"capitalize", changed<capitalized>},
    {"center", center},
    {"e", escape},
    {"escape", escape},
    {"float", to_real},
    {"format", format},
    {"indent", indent},
    {"int", to_integer},
    {"lower", changed<to_lower>},
    {"replace", replace},
    {"round", round},
    {"safe", changed<unchanged>},
    {"string", changed<unchanged>},
    {"title", changed<title>},
    {"tojson", to_json},
    {"trim", trim},
    {"upper", changed<to_upper>},
    {"wordcount", word_count},
};

}  // namespace

Filter find_text_filter(std::string_view name) {
  const auto* found = std::find_if(std::begin(kFilters), std::end(kFilters),
                                   [&](const Entry& entry) { return entry.name == name; });
  return found == std::end(kFilters) ? nullptr : found->filter;
}

}  // namespace terse::chat
