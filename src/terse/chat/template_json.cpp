#include "terse/chat/template_json.h"

#include <algorithm>
#include <cmath>

#include "terse/chat/code_points.h"
#include "terse/chat/template_operators.h"
#include "terse/chat/template_text.h"
#include "terse/core/error.h"

namespace terse::chat {
namespace {

Value string_from_json(Heap& heap, const std::string& text) {
  if (!is_valid_utf8(text)) throw bad_input("a string given to the template is not UTF-8");
  return make_string(heap, text);
}

Value integer_from_json(const OrderedJson& json) {
  if (json.is_number_unsigned() && json.get<std::uint64_t>() > INT64_MAX) {
    throw bad_input("{} is an integer above 63 bits", json.get<std::uint64_t>());
  }
  return Value::integer(json.get<std::int64_t>());
}

Value convert(Heap& heap, const OrderedJson& json, std::size_t depth) {
  if (depth > kMaximumNesting) {
    throw bad_input("values are nested deeper than {} levels", kMaximumNesting);
  }
  if (json.is_string()) return string_from_json(heap, json.get_ref<const std::string&>());
  if (json.is_boolean()) return Value::boolean(json.get<bool>());
  if (json.is_number_integer()) return integer_from_json(json);
  if (json.is_number()) return Value::real(json.get<double>());
  if (json.is_array()) {
    Values items;
    for (const OrderedJson& item : json) items.push_back(convert(heap, item, depth + 1));
    return make_sequence(heap, std::move(items));
  }
  if (json.is_object()) {
    Dict dict(heap);
    for (const auto& [key, value] : json.items()) {
      dict.set(string_from_json(heap, key), convert(heap, value, depth + 1));
    }
    return make_dict(std::move(dict));
  }
  return {};
}

class Writer {
 public:
  Writer(BoundedText& out, const JsonStyle& style) : out_(out), style_(style) {}

  void write(const Value& value) {
    switch (value.kind()) {
      case Value::Kind::string:
        return string(value.string());
      case Value::Kind::sequence:
        return sequence(value);
      case Value::Kind::dict:
        return dict(value.dict());
      default:
        out_.append(scalar(value));
    }
  }

 private:
  static std::string scalar(const Value& value) {
    switch (value.kind()) {
      case Value::Kind::none:
        return "null";
      case Value::Kind::boolean:
        return value.as_boolean() ? "true" : "false";
      case Value::Kind::integer:
        return std::to_string(value.as_integer());
      case Value::Kind::real:
        return real(value.as_real());
      default:
        throw bad_input("a value of type {} cannot be written as JSON", value.type());
    }
  }

  static std::string real(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
    return real_text(value);
  }

  static std::string by_number(std::uint32_t code) {
    if (code < 0x10000) return fmt::format("\\u{:04x}", code);
    const std::uint32_t rest = code - 0x10000;
    return fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + (rest >> 10U), 0xdc00 + (rest & 0x3ffU));
  }

  // Empty for a character that stands for itself.
  std::string escaped(char32_t character) const {
    constexpr std::string_view kNamed = "\"\\\n\r\t\f\b";
    constexpr std::string_view kNames = "\"\\nrtfb";
    const auto code = static_cast<std::uint32_t>(character);
    const std::size_t name = code < 0x80 ? kNamed.find(static_cast<char>(code)) : kNamed.npos;
    if (name != kNamed.npos) return {'\\', kNames[name]};
    return code < 0x20 || (style_.ascii && code > 0x7e) ? by_number(code) : std::string();
  }

  void string(std::string_view text) {
    out_.append(1, '"');
    append_escaping(out_, text, [this](char32_t character) { return escaped(character); });
    out_.append(1, '"');
  }

  void new_line() {
    if (!style_.indent) return;
    out_.append("\n");
    for (std::size_t level = 0; level < depth_; ++level) out_.append(*style_.indent);
  }

  // Brackets around what `item` writes for each number below `count`.
  template <class Item>
  void nest(std::string_view brackets, std::size_t count, const Item& item) {
    out_.append(brackets.substr(0, 1));
    ++depth_;
    for (std::size_t i = 0; i < count; ++i) {
      if (i > 0) out_.append(style_.between_items);
      new_line();
      item(i);
    }
    --depth_;
    if (count > 0) new_line();
    out_.append(brackets.substr(1));
  }

  void sequence(const Value& value) {
    const Sequence& sequence = value.sequence();
    if (sequence.form != Sequence::Form::list && sequence.form != Sequence::Form::tuple) {
      throw bad_input("a value of type {} cannot be written as JSON; the filter `list` helps",
                      value.type());
    }
    nest("[]", sequence.items.size(), [&](std::size_t i) { write(sequence.items[i]); });
  }

  void dict(const Dict& dict) {
    std::vector<const Dict::Entry*> entries;
    for (const Dict::Entry& entry : dict.entries()) entries.push_back(&entry);
    if (style_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(), [&](const auto* a, const auto* b) {
        return less(out_.heap(), a->key, b->key);
      });
    }
    nest("{}", entries.size(), [&](std::size_t i) {
      const Value& key = entries[i]->key;
      string(key.is_string() ? key.string() : scalar(key));
      out_.append(style_.after_key);
      write(entries[i]->value);
    });
  }

  BoundedText& out_;
  const JsonStyle& style_;
  std::size_t depth_ = 0;
};

}  // namespace

Value from_json(Heap& heap, const OrderedJson& json) {
  return convert(heap, json, 0);
}

void append_json(BoundedText& out, const Value& value, const JsonStyle& style) {
  Writer(out, style).write(value);
}

}  // namespace terse::chat
