#include "terse/chat/template_access.h"

#include <algorithm>
#include <charconv>

#include "terse/chat/code_points.h"
#include "terse/chat/template_methods.h"
#include "terse/chat/template_operators.h"
#include "terse/core/error.h"
#include "terse/core/text.h"

namespace terse::chat {
namespace {

std::string shortened(std::string_view name) {
  constexpr std::size_t kLongest = 60;
  if (name.size() <= kLongest) return std::string(name);
  return std::string(name.substr(0, complete_utf8_prefix(name.substr(0, kLongest)))) + "...";
}

Value missing(Runtime& runtime, const Value& value, std::string_view name) {
  return make_undefined(
      runtime.heap, fmt::format("a value of type {} has no '{}'", value.type(), shortened(name)));
}

std::optional<Value> own_attribute(Runtime& runtime, const Value& value, std::string_view name) {
  if (value.is(Value::Kind::undefined)) refuse_undefined(value);
  if (value.is(Value::Kind::object)) return value.object().attribute(runtime, name);
  return find_method(value, name);
}

bool has_places(const Value& value) {
  return value.is_string() || (value.is(Value::Kind::sequence) && value.sequence().has_places());
}

Value character(Runtime& runtime, const std::string& text, std::size_t index) {
  runtime.heap.work(1 + index / 64);
  const std::size_t at = byte_offset(text, index);
  return make_string(runtime.heap, text.substr(at, character_bytes(text, at)));
}

std::optional<Value> place(Runtime& runtime, const Value& value, const Value& key) {
  if (!has_places(value) || !key.is_integer()) return std::nullopt;
  const auto size = static_cast<std::int64_t>(*length_of(value));
  if (value.is_string()) runtime.heap.work(value.string().size() / 64);
  std::int64_t index = key.as_integer();
  if (index < 0) index += size;  // cannot overflow: the size is not negative
  if (index < 0 || index >= size) return std::nullopt;
  const auto at = static_cast<std::size_t>(index);
  return value.is_string() ? character(runtime, value.string(), at) : value.sequence().items[at];
}

std::optional<Value> own_item(Runtime& runtime, const Value& value, const Value& key) {
  if (!value.is(Value::Kind::dict)) return place(runtime, value, key);
  if (key.is(Value::Kind::sequence) || key.is(Value::Kind::dict)) return std::nullopt;
  const Value* found = value.dict().find(key);
  return found == nullptr ? std::nullopt : std::optional(*found);
}

// Where a slice begins, how many items it has and how far they are apart, as Python counts.
struct Range {
  std::int64_t start;
  std::int64_t count;
  std::int64_t step;
};

std::int64_t bound(const Value& value, std::int64_t absent, std::int64_t least, std::int64_t most,
                   std::int64_t size) {
  if (value.is(Value::Kind::none)) return absent;
  std::int64_t index = value.as_integer();
  if (index < 0) index += size;
  return std::clamp(index, least, most);
}

Range resolve(const Value& start, const Value& stop, const Value& step, std::int64_t size) {
  const std::int64_t by = step.is(Value::Kind::none) ? 1 : step.as_integer();
  if (by == 0) throw bad_input("the step of a slice is 0");
  const std::int64_t least = by > 0 ? 0 : -1;
  const std::int64_t most = by > 0 ? size : size - 1;
  const std::int64_t first = bound(start, by > 0 ? least : most, least, most, size);
  const std::int64_t end = bound(stop, by > 0 ? most : least, least, most, size);
  const std::int64_t way = by > 0 ? end - first : first - end;
  if (way <= 0) return {0, 0, 1};
  // A step across the whole is as good as any larger one, and cannot overflow.
  const std::int64_t stride = std::clamp(by, -size - 1, size + 1);
  const std::int64_t length = stride > 0 ? stride : -stride;
  return {first, (way + length - 1) / length, stride};
}

Value slice_text(Runtime& runtime, const std::string& text, const Value& start, const Value& stop,
                 const Value& step) {
  runtime.heap.work(1 + text.size() / 16);
  const Range range =
      resolve(start, stop, step, static_cast<std::int64_t>(count_code_points(text)));
  if (range.step == 1) {
    const std::size_t begin = byte_offset(text, static_cast<std::size_t>(range.start));
    const std::string_view rest = std::string_view(text).substr(begin);
    return make_string(
        runtime.heap,
        std::string(rest.substr(0, byte_offset(rest, static_cast<std::size_t>(range.count)))));
  }
  runtime.heap.check_room(text.size() * sizeof(std::string_view));
  std::vector<std::string_view> characters;
  for (const std::string_view character : Characters(text)) characters.push_back(character);
  BoundedText made(runtime.heap);
  for (std::int64_t i = 0; i < range.count; ++i) {
    made.append(characters[static_cast<std::size_t>(range.start + i * range.step)]);
  }
  return make_string(made);
}

Value slice_items(Runtime& runtime, const Sequence& sequence, const Value& start, const Value& stop,
                  const Value& step) {
  const Range range = resolve(start, stop, step, static_cast<std::int64_t>(sequence.items.size()));
  runtime.heap.check_room(static_cast<std::uint64_t>(range.count) * sizeof(Value));
  Values items;
  for (std::int64_t i = 0; i < range.count; ++i) {
    items.push_back(sequence.items[static_cast<std::size_t>(range.start + i * range.step)]);
  }
  return make_sequence(runtime.heap, std::move(items), sequence.form);
}

Values characters_of(Runtime& runtime, const std::string& text) {
  runtime.heap.check_room(text.size() * sizeof(Value));
  Values items;
  for (const std::string_view piece : Characters(text)) {
    items.push_back(make_string(runtime.heap, std::string(piece)));
  }
  return items;
}

}  // namespace

Value attribute_of(Runtime& runtime, const Value& value, std::string_view name) {
  if (auto found = own_attribute(runtime, value, name)) return *found;
  if (value.is(Value::Kind::dict)) {
    if (const Value* item = value.dict().find(name)) return *item;
  }
  return missing(runtime, value, name);
}

Value item_of(Runtime& runtime, const Value& value, const Value& key) {
  if (value.is(Value::Kind::undefined)) refuse_undefined(value);
  if (auto found = own_item(runtime, value, key)) return *found;
  if (!key.is_string()) {
    return missing(runtime, value,
                   key.is_integer() ? std::to_string(key.as_integer()) : key.type());
  }
  if (auto found = own_attribute(runtime, value, key.string())) return *found;
  return missing(runtime, value, key.string());
}

Value slice_of(Runtime& runtime, const Value& value, const Value& start, const Value& stop,
               const Value& step) {
  if (value.is(Value::Kind::undefined)) refuse_undefined(value);
  if (!has_places(value)) throw bad_input("a value of type {} cannot be sliced", value.type());
  for (const Value* bound : {&start, &stop, &step}) {
    if (bound->is(Value::Kind::none) || bound->is_integer()) continue;
    throw bad_input("a slice is bounded by integers, not by {}", bound->type());
  }
  if (value.is_string()) return slice_text(runtime, value.string(), start, stop, step);
  return slice_items(runtime, value.sequence(), start, stop, step);
}

Value item_at_path(Runtime& runtime, const Value& value, const Value& path) {
  if (!path.is_string()) return item_of(runtime, value, path);
  Value found = value;
  std::string_view rest = path.string();
  for (bool more = true; more;) {
    const std::size_t point = rest.find('.');
    const std::string_view part = rest.substr(0, point);
    std::int64_t index = 0;
    const auto read = std::from_chars(part.data(), part.data() + part.size(), index);
    const bool number =
        read.ec == std::errc() && read.ptr == part.data() + part.size() && !part.starts_with('-');
    found = item_of(runtime, found,
                    number ? Value::integer(index) : make_string(runtime.heap, std::string(part)));
    more = point != std::string_view::npos;
    if (more) rest.remove_prefix(point + 1);
  }
  return found;
}

bool is_iterable(const Value& value) {
  return value.is_string() || value.is(Value::Kind::sequence) || value.is(Value::Kind::dict) ||
         value.is(Value::Kind::undefined);
}

Values items_of(Runtime& runtime, const Value& value) {
  runtime.heap.work(1 + length_of(value).value_or(0) / 8);
  switch (value.kind()) {
    case Value::Kind::undefined:
      return {};
    case Value::Kind::string:
      return characters_of(runtime, value.string());
    case Value::Kind::sequence: {
      const Sequence& sequence = value.sequence();
      if (sequence.form != Sequence::Form::iterator) return sequence.items;
      const auto begin = sequence.items.begin() + static_cast<std::ptrdiff_t>(sequence.given);
      sequence.given = sequence.items.size();
      return {begin, sequence.items.end()};
    }
    case Value::Kind::dict: {
      Values keys;
      for (const auto& entry : value.dict().entries()) keys.push_back(entry.key);
      return keys;
    }
    default:
      throw bad_input("a value of type {} has no items to go through", value.type());
  }
}

std::optional<std::size_t> length_of(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::undefined:
      return 0;
    case Value::Kind::string:
      return count_code_points(value.string());
    case Value::Kind::sequence:
      if (value.sequence().form == Sequence::Form::iterator) return std::nullopt;
      return value.sequence().items.size();
    case Value::Kind::dict:
      return value.dict().entries().size();
    default:
      return std::nullopt;
  }
}

}  // namespace terse::chat
