#include "terse/chat/template_value.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "terse/core/error.h"

namespace terse::chat {
namespace {

// About what a string, a place in a vector and an entry of a dict take beside their text.
constexpr std::uint64_t kTextBytes = 80;
constexpr std::uint64_t kPlaceBytes = sizeof(Value);
constexpr std::uint64_t kEntryBytes = 160;

std::size_t checked_nesting(std::size_t nesting) {
  if (nesting > kMaximumNesting) {
    throw bad_input("values are nested deeper than {} levels", kMaximumNesting);
  }
  return nesting;
}

// Python's 1, 1.0 and True are one key.
std::string number_key(double value) {
  if (std::floor(value) == value && std::abs(value) < 9e15) {
    return fmt::format("n{}", static_cast<std::int64_t>(value));
  }
  return fmt::format("f{}", std::bit_cast<std::uint64_t>(value));
}

std::string string_key(Heap& heap, std::string_view text) {
  heap.work(1 + text.size() / 64);
  std::string key = "s";
  key += text;
  return key;
}

// Nothing for what Python could hash but no dict here holds. Errors: bad_input for lists and dicts.
std::optional<std::string> key_of(Heap& heap, const Value& value) {
  switch (value.kind()) {
    case Value::Kind::string:
      return string_key(heap, value.string());
    case Value::Kind::boolean:
    case Value::Kind::integer:
      return fmt::format("n{}", value.as_integer());
    case Value::Kind::real:
      return number_key(value.as_real());
    case Value::Kind::none:
      return "none";
    case Value::Kind::dict:
      break;
    case Value::Kind::sequence:
      if (value.sequence().form != Sequence::Form::list) return std::nullopt;
      break;
    default:
      return std::nullopt;
  }
  throw bad_input("a value of type {} cannot be a key", value.type());
}

std::string_view sequence_type(Sequence::Form form) {
  constexpr std::array<std::string_view, 7> kTypes{
      "list", "tuple", "range", "dict_keys", "dict_values", "dict_items", "iterator"};
  return kTypes[static_cast<std::size_t>(form)];
}

}  // namespace

Value Value::boolean(bool value) {
  Value made;
  made.data_ = value;
  return made;
}

Value Value::integer(std::int64_t value) {
  Value made;
  made.data_ = value;
  return made;
}

Value Value::real(double value) {
  Value made;
  made.data_ = value;
  return made;
}

std::int64_t Value::as_integer() const {
  if (is(Kind::boolean)) return as_boolean() ? 1 : 0;
  return std::get<std::int64_t>(data_);
}

double Value::as_real() const {
  return is(Kind::real) ? std::get<double>(data_) : static_cast<double>(as_integer());
}

const std::string& Value::string() const {
  return std::get<std::shared_ptr<const Text>>(data_)->text;
}

const Sequence& Value::sequence() const {
  return *std::get<std::shared_ptr<const Sequence>>(data_);
}

std::string_view Value::type() const {
  if (is(Kind::sequence)) return sequence_type(sequence().form);
  if (is(Kind::object)) return object().type();
  constexpr std::array<std::string_view, 8> kTypes{"undefined", "none", "bool", "int",
                                                   "float",     "str",  "",     "dict"};
  return kTypes[static_cast<std::size_t>(kind())];
}

std::size_t Value::nesting() const {
  if (is(Kind::sequence)) return sequence().nesting;
  if (is(Kind::dict)) return dict().nesting();
  if (is(Kind::object)) return object().nesting();
  return 0;
}

bool Value::same_as(const Value& other) const {
  if (kind() != other.kind()) return false;
  switch (kind()) {
    case Kind::undefined:
      return undefined().why == other.undefined().why;
    case Kind::none:
      return true;
    case Kind::boolean:
    case Kind::integer:
      return as_integer() == other.as_integer();
    case Kind::real:
      return as_real() == other.as_real();
    case Kind::string:
      return string() == other.string();
    case Kind::sequence:
      return &sequence() == &other.sequence();
    case Kind::dict:
      return &dict() == &other.dict();
    default:
      return &object() == &other.object();
  }
}

void Dict::set(Value key, Value value) {
  auto text = key_of(heap_, key);
  if (!text) throw bad_input("a value of type {} as a key is not supported", key.type());
  nesting_ = std::max(nesting_, checked_nesting(value.nesting() + 1));
  if (const auto found = places_.find(*text); found != places_.end()) {
    entries_[found->second].value = std::move(value);
    return;
  }
  allocation_.grow(kEntryBytes + text->size());
  places_.emplace(std::move(*text), entries_.size());
  entries_.push_back({std::move(key), std::move(value)});
}

const Value* Dict::find(const Value& key) const {
  const auto text = key_of(heap_, key);
  const auto found = text ? places_.find(*text) : places_.end();
  return found == places_.end() ? nullptr : &entries_[found->second].value;
}

const Value* Dict::find(std::string_view key) const {
  const auto found = places_.find(string_key(heap_, key));
  return found == places_.end() ? nullptr : &entries_[found->second].value;
}

Runtime::~Runtime() {
  for (const auto& object : namespaces) object->clear();
}

Value Object::call(Runtime&, const Arguments&) {
  throw bad_input("a value of type {} cannot be called", type());
}

Value make_string(Heap& heap, std::string text) {
  heap.work(1 + text.size() / 64);
  const std::uint64_t bytes = kTextBytes + text.size();
  return Value(std::make_shared<const Text>(Text{std::move(text), Allocation(heap, bytes)}));
}

Value make_string(BoundedText& text) {
  return make_string(text.heap(), text.release());
}

Value make_sequence(Heap& heap, Values items, Sequence::Form form) {
  heap.work(1 + items.size() / 8);
  const std::uint64_t bytes = kTextBytes + kPlaceBytes * items.size();
  const std::size_t nesting = nesting_around(items);
  return Value(std::make_shared<const Sequence>(
      Sequence{form, std::move(items), nesting, Allocation(heap, bytes)}));
}

Value make_dict(Dict dict) {
  return Value(std::make_shared<const Dict>(std::move(dict)));
}

void charge_for(Heap& heap, const Value& value) {
  heap.work(1 + (value.is_string() ? value.string().size() / 16 : 0));
}

Value make_undefined(Heap& heap, std::string why) {
  heap.work(1 + why.size() / 64);
  const std::uint64_t bytes = kTextBytes + why.size();
  return Value(
      Undefined{std::make_shared<const Text>(Text{std::move(why), Allocation(heap, bytes)})});
}

Value make_literal(std::string text) {
  return Value(std::make_shared<const Text>(Text{std::move(text), Allocation()}));
}

std::size_t nesting_around(const Values& items) {
  std::size_t nesting = 0;
  for (const Value& item : items) nesting = std::max(nesting, item.nesting());
  return checked_nesting(nesting + 1);
}

}  // namespace terse::chat
