// Filters of lists, dicts and whatever has items.
#include <algorithm>
#include <iterator>

#include "terse/chat/code_points.h"
#include "terse/chat/template_access.h"
#include "terse/chat/template_arguments.h"
#include "terse/chat/template_filters.h"
#include "terse/chat/template_methods.h"
#include "terse/chat/template_operators.h"
#include "terse/chat/template_tests.h"
#include "terse/chat/template_text.h"
#include "terse/core/error.h"

namespace terse::chat {
namespace {

constexpr auto kIterator = Sequence::Form::iterator;

Value made_iterator(Runtime& runtime, Values items) {
  return make_sequence(runtime.heap, std::move(items), kIterator);
}

// What to compare an item by: the part of it at a path, in lower case unless case counts.
Value compared_by(Runtime& runtime, const Value& item, const Value* path, bool case_counts) {
  Value part = path == nullptr ? item : item_at_path(runtime, item, *path);
  if (case_counts || !part.is_string()) return part;
  return make_string(runtime.heap, to_lower(part.string()));
}

struct Keyed {
  Value key;
  Value item;
};

std::vector<Keyed> keyed(Runtime& runtime, const Value& value, const Value* path,
                         bool case_counts) {
  std::vector<Keyed> made;
  for (Value& item : items_of(runtime, value)) {
    Value key = compared_by(runtime, item, path, case_counts);
    made.push_back({std::move(key), std::move(item)});
  }
  return made;
}

Values sorted_items(Runtime& runtime, std::vector<Keyed> entries, bool reverse) {
  // Those that are alike keep their order both ways.
  std::stable_sort(entries.begin(), entries.end(), [&](const Keyed& a, const Keyed& b) {
    return reverse ? less(runtime.heap, b.key, a.key) : less(runtime.heap, a.key, b.key);
  });
  Values items;
  for (Keyed& entry : entries) items.push_back(std::move(entry.item));
  return items;
}

const Value* path_of(const Parameters& given, std::size_t index) {
  return given.is_set(index) ? &given.at(index) : nullptr;
}

Value sort(Runtime& runtime, std::string_view name, const Value& value,
           const Arguments& arguments) {
  const Parameters given(name, arguments, {"reverse", "case_sensitive", "attribute"});
  auto entries = keyed(runtime, value, path_of(given, 2), given.flag(1, false));
  return make_sequence(runtime.heap,
                       sorted_items(runtime, std::move(entries), given.flag(0, false)));
}

Value sort_dict(Runtime& runtime, std::string_view name, const Value& value,
                const Arguments& arguments) {
  const Parameters given(name, arguments, {"case_sensitive", "by", "reverse"});
  if (!value.is(Value::Kind::dict)) throw bad_input("{} expects a dict", name);
  const std::string by = given.has(1) ? given.text(1) : "key";
  if (by != "key" && by != "value") throw bad_input("{} sorts by key or by value", name);
  std::vector<Keyed> entries;
  for (const auto& [key, item] : value.dict().entries()) {
    const Value& chosen = by == "key" ? key : item;
    entries.push_back({compared_by(runtime, chosen, nullptr, given.flag(0, false)),
                       make_sequence(runtime.heap, {key, item}, Sequence::Form::tuple)});
  }
  return make_sequence(runtime.heap,
                       sorted_items(runtime, std::move(entries), given.flag(2, false)));
}

template <bool largest>
Value extreme(Runtime& runtime, std::string_view name, const Value& value,
              const Arguments& arguments) {
  const Parameters given(name, arguments, {"case_sensitive", "attribute"});
  const auto entries = keyed(runtime, value, path_of(given, 1), given.flag(0, false));
  if (entries.empty()) return make_undefined(runtime.heap, "an empty list has no extremes");
  const Keyed* best = entries.data();
  for (std::size_t i = 1; i < entries.size(); ++i) {
    const Keyed& entry = entries[i];
    const bool better = largest ? less(runtime.heap, best->key, entry.key)
                                : less(runtime.heap, entry.key, best->key);
    if (better) best = &entry;
  }
  return best->item;
}

Value unique(Runtime& runtime, std::string_view name, const Value& value,
             const Arguments& arguments) {
  const Parameters given(name, arguments, {"case_sensitive", "attribute"});
  Dict seen(runtime.heap);
  Values items;
  for (Keyed& entry : keyed(runtime, value, path_of(given, 1), given.flag(0, false))) {
    if (seen.find(entry.key) != nullptr) continue;
    seen.set(entry.key, Value());
    items.push_back(std::move(entry.item));
  }
  return made_iterator(runtime, std::move(items));
}

Value sum(Runtime& runtime, std::string_view name, const Value& value, const Arguments& arguments) {
  const Parameters given(name, arguments, {"attribute", "start"});
  Value total = given.value(1, Value::integer(0));
  if (total.is_string()) throw bad_input("{} adds no strings; the filter `join` does", name);
  for (const Value& item : items_of(runtime, value)) {
    const Value part = given.is_set(0) ? item_at_path(runtime, item, given.at(0)) : item;
    total = calculate(runtime, Arithmetic::add, total, part);
  }
  return total;
}

Value join(Runtime& runtime, std::string_view name, const Value& value,
           const Arguments& arguments) {
  const Parameters given(name, arguments, {"d", "attribute"});
  const std::string between = given.has(0) ? text_of(runtime.heap, given.at(0)) : "";
  BoundedText made(runtime.heap);
  bool first = true;
  for (const Value& item : items_of(runtime, value)) {
    if (!first) made.append(between);
    first = false;
    append_text(made, given.is_set(1) ? item_at_path(runtime, item, given.at(1)) : item);
  }
  return make_string(made);
}

Value length(Runtime&, std::string_view name, const Value& value, const Arguments& arguments) {
  const Parameters none(name, arguments, {});
  const auto size = length_of(value);
  if (!size) throw bad_input("a value of type {} has no length", value.type());
  return Value::integer(static_cast<std::int64_t>(*size));
}

Value first(Runtime& runtime, std::string_view name, const Value& value,
            const Arguments& arguments) {
  const Parameters none(name, arguments, {});
  if (value.is(Value::Kind::sequence)) {
    const Sequence& sequence = value.sequence();
    if (sequence.given < sequence.items.size()) {
      const Value& item = sequence.items[sequence.given];
      if (sequence.form == kIterator) ++sequence.given;
      return item;
    }
  }
  const Values items = items_of(runtime, value);
  return items.empty() ? make_undefined(runtime.heap, "an empty list has no first item")
                       : items.front();
}

Value last(Runtime& runtime, std::string_view name, const Value& value,
           const Arguments& arguments) {
  const Parameters none(name, arguments, {});
  if (value.is(Value::Kind::sequence) && value.sequence().form == kIterator) {
    throw bad_input("an iterator has no last item; the filter `list` makes it a list");
  }
  const Values items = items_of(runtime, value);
  return items.empty() ? make_undefined(runtime.heap, "an empty list has no last item")
                       : items.back();
}

Value list(Runtime& runtime, std::string_view name, const Value& value,
           const Arguments& arguments) {
  const Parameters none(name, arguments, {});
  return make_sequence(runtime.heap, items_of(runtime, value));
}

Value reverse(Runtime& runtime, std::string_view name, const Value& value,
              const Arguments& arguments) {
  const Parameters none(name, arguments, {});
  Values items = items_of(runtime, value);
  std::reverse(items.begin(), items.end());
  if (!value.is_string()) return made_iterator(runtime, std::move(items));
  BoundedText made(runtime.heap);
  for (const Value& item : items) made.append(item.string());
  return make_string(made);
}

Value batch(Runtime& runtime, std::string_view name, const Value& value,
            const Arguments& arguments) {
  const Parameters given(name, arguments, {"linecount", "fill_with"}, 1);
  const std::int64_t size = given.integer(0);
  if (size < 1) throw bad_input("{} makes no lists of {} items", name, size);
  const auto wanted = static_cast<std::size_t>(size);
  Values lists;
  Values current;
  const auto finish = [&] {
    lists.push_back(make_sequence(runtime.heap, std::move(current)));
    current = {};
  };
  for (Value& item : items_of(runtime, value)) {
    current.push_back(std::move(item));
    if (current.size() == wanted) finish();
  }
  if (!current.empty()) {
    if (given.is_set(1)) {
      runtime.heap.check_room(wanted * sizeof(Value));
      current.resize(wanted, given.at(1));
    }
    finish();
  }
  return made_iterator(runtime, std::move(lists));
}

Value items_filter(Runtime& runtime, std::string_view name, const Value& value,
                   const Arguments& arguments) {
  const Parameters none(name, arguments, {});
  Values pairs;
  if (value.is(Value::Kind::dict)) {
    for (const auto& [key, item] : value.dict().entries()) {
      pairs.push_back(make_sequence(runtime.heap, {key, item}, Sequence::Form::tuple));
    }
  } else if (!value.is(Value::Kind::undefined)) {
    throw bad_input("{} expects a dict, not {}", name, value.type());
  }
  return made_iterator(runtime, std::move(pairs));
}

Value default_filter(Runtime& runtime, std::string_view name, const Value& value,
                     const Arguments& arguments) {
  const Parameters given(name, arguments, {"default_value", "boolean"});
  const bool replaced = value.is(Value::Kind::undefined) || (given.flag(1, false) && !truth(value));
  return replaced ? given.value(0, make_string(runtime.heap, "")) : value;
}

Value attribute(Runtime& runtime, std::string_view name, const Value& value,
                const Arguments& arguments) {
  const Parameters given(name, arguments, {"name"}, 1);
  // Only attributes count here, and the sandbox shows none of a dict's items as such.
  if (value.is(Value::Kind::dict) && find_method(value, given.text(0)) == std::nullopt) {
    return make_undefined(runtime.heap, "a dict has items, not attributes");
  }
  return attribute_of(runtime, value, given.text(0));
}

// The arguments behind the first `count`, with those that are named.
Arguments rest_of(const Arguments& arguments, std::size_t count) {
  return {{arguments.positional.begin() + static_cast<std::ptrdiff_t>(count),
           arguments.positional.end()},
          arguments.named};
}

const std::string& name_among(std::string_view filter, const Arguments& arguments,
                              std::size_t index, std::string_view what) {
  if (index >= arguments.positional.size() || !arguments.positional[index].is_string()) {
    throw bad_input("{} expects {}", filter, what);
  }
  return arguments.positional[index].string();
}

// Whatever counts as false has no items, none and 0 included.
Values items_or_nothing(Runtime& runtime, const Value& value) {
  return truth(value) ? items_of(runtime, value) : Values();
}

Value map_attribute(Runtime& runtime, std::string_view name, const Value& value,
                    const Arguments& arguments) {
  const Parameters given(name, arguments, {"attribute", "default"}, 1);
  Values made;
  for (const Value& item : items_or_nothing(runtime, value)) {
    Value part = item_at_path(runtime, item, given.at(0));
    if (given.has(1) && part.is(Value::Kind::undefined)) part = given.at(1);
    made.push_back(std::move(part));
  }
  return made_iterator(runtime, std::move(made));
}

Value map(Runtime& runtime, std::string_view name, const Value& value, const Arguments& arguments) {
  if (arguments.positional.empty()) return map_attribute(runtime, name, value, arguments);
  const std::string& filter = name_among(name, arguments, 0, "the name of a filter");
  const Arguments rest = rest_of(arguments, 1);
  Values made;
  for (const Value& item : items_or_nothing(runtime, value)) {
    made.push_back(apply_filter(runtime, filter, item, rest));
  }
  return made_iterator(runtime, std::move(made));
}

// Those items that a test holds for, or does not; without one, those that count as true.
template <bool wanted, bool by_attribute>
Value select(Runtime& runtime, std::string_view name, const Value& value,
             const Arguments& arguments) {
  constexpr std::size_t kBefore = by_attribute ? 1 : 0;
  if (by_attribute && arguments.positional.empty()) throw bad_input("{} lacks an attribute", name);
  const bool tests = arguments.positional.size() > kBefore;
  const std::string test =
      tests ? name_among(name, arguments, kBefore, "the name of a test") : std::string();
  const Arguments rest = tests ? rest_of(arguments, kBefore + 1) : Arguments();
  Values chosen;
  for (Value& item : items_or_nothing(runtime, value)) {
    const Value part = by_attribute ? item_at_path(runtime, item, arguments.positional[0]) : item;
    const bool holds = tests ? apply_test(runtime, test, part, rest) : truth(part);
    if (holds == wanted) chosen.push_back(std::move(item));
  }
  return made_iterator(runtime, std::move(chosen));
}

struct Entry {
  std::string_view name;
  Filter filter;
};

constexpr Entry kFilters[] = {
    {"attr", attribute},
    {"batch", batch},
    {"count", length},
    {"d", default_filter},
    {"default", default_filter},
    {"dictsort", sort_dict},
    {"first", first},
    {"items", items_filter},
    {"join", join},
    {"last", last},
    {"length", length},
    {"list", list},
    {"map", map},
    {"max", extreme<true>},
    {"min", extreme<false>},
    {"reject", select<false, false>},
    {"rejectattr", select<false, true>},
    {"reverse", reverse},
    {"select", select<true, false>},
    {"selectattr", select<true, true>},
    {"sort", sort},
    {"sum", sum},
    {"unique", unique},
};

}  // namespace

Filter find_list_filter(std::string_view name) {
  const auto* found = std::find_if(std::begin(kFilters), std::end(kFilters),
                                   [&](const Entry& entry) { return entry.name == name; });
  return found == std::end(kFilters) ? nullptr : found->filter;
}

}  // namespace terse::chat
