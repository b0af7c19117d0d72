#include "terse/chat/template_operators.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "terse/chat/template_format.h"
#include "terse/chat/template_search.h"
#include "terse/core/error.h"

namespace terse::chat {
namespace {

constexpr std::string_view kSigns[] = {"+", "-", "*", "/", "//", "%", "**"};

std::int64_t in_range(std::optional<std::int64_t> value) {
  if (!value) throw bad_input("an integer needs more than 63 bits");
  return *value;
}

std::int64_t floor_quotient(std::int64_t a, std::int64_t b) {
  if (b == -1) return in_range(a == INT64_MIN ? std::nullopt : std::optional(-a));
  const std::int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

std::int64_t floor_remainder(std::int64_t a, std::int64_t b) {
  if (b == -1) return 0;
  const std::int64_t remainder = a % b;
  return remainder != 0 && (remainder < 0) != (b < 0) ? remainder + b : remainder;
}

double floor_remainder(double a, double b) {
  const double remainder = std::fmod(a, b);
  if (remainder == 0) return std::copysign(0.0, b);
  return (remainder < 0) != (b < 0) ? remainder + b : remainder;
}

// The quotient that goes with the remainder: a is nearly b * quotient + remainder.
double floor_quotient(double a, double b) {
  const double quotient = (a - floor_remainder(a, b)) / b;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floored = std::floor(quotient);
  return quotient - floored > 0.5 ? floored + 1 : floored;
}

std::int64_t integer_power(std::int64_t base, std::int64_t exponent) {
  std::int64_t result = 1;
  if (base == 0 || base == 1) return exponent == 0 ? 1 : base;
  if (base == -1) return exponent % 2 == 0 ? 1 : -1;
  // Any other base leaves 63 bits within 63 rounds.
  for (; exponent > 0; --exponent) {
    if (__builtin_mul_overflow(result, base, &result)) return in_range(std::nullopt);
  }
  return result;
}

Value power(const Value& left, const Value& right) {
  if (left.is_integer() && right.is_integer() && right.as_integer() >= 0) {
    return Value::integer(integer_power(left.as_integer(), right.as_integer()));
  }
  const double base = left.as_real();
  const double exponent = right.as_real();
  if (base == 0 && exponent < 0) throw bad_input("0 has no negative power");
  const double result = std::pow(base, exponent);
  if (std::isnan(result) && !std::isnan(base) && !std::isnan(exponent)) {
    throw bad_input("a fractional power of a negative number is not a real number");
  }
  if (std::isinf(result) && std::isfinite(base) && std::isfinite(exponent)) {
    throw bad_input("a power is too large for a float");
  }
  return Value::real(result);
}

Value integers(Arithmetic operation, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  bool overflow = false;
  switch (operation) {
    case Arithmetic::add:
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case Arithmetic::subtract:
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case Arithmetic::multiply:
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case Arithmetic::floor_divide:
      result = floor_quotient(a, b);
      break;
    default:
      result = floor_remainder(a, b);
      break;
  }
  return Value::integer(in_range(overflow ? std::nullopt : std::optional(result)));
}

Value reals(Arithmetic operation, double a, double b) {
  switch (operation) {
    case Arithmetic::add:
      return Value::real(a + b);
    case Arithmetic::subtract:
      return Value::real(a - b);
    case Arithmetic::multiply:
      return Value::real(a * b);
    case Arithmetic::divide:
      return Value::real(a / b);
    case Arithmetic::floor_divide:
      return Value::real(floor_quotient(a, b));
    default:
      return Value::real(floor_remainder(a, b));
  }
}

Value numbers(Arithmetic operation, const Value& left, const Value& right) {
  if (operation == Arithmetic::power) return power(left, right);
  const bool divides = operation == Arithmetic::divide || operation == Arithmetic::floor_divide ||
                       operation == Arithmetic::remainder;
  if (divides && right.as_real() == 0) throw bad_input("division by zero");
  if (operation != Arithmetic::divide && left.is_integer() && right.is_integer()) {
    return integers(operation, left.as_integer(), right.as_integer());
  }
  return reals(operation, left.as_real(), right.as_real());
}

bool is_list_or_tuple(const Value& value) {
  return value.is(Value::Kind::sequence) && (value.sequence().form == Sequence::Form::list ||
                                             value.sequence().form == Sequence::Form::tuple);
}

bool same_form(const Value& left, const Value& right) {
  return is_list_or_tuple(left) && is_list_or_tuple(right) &&
         left.sequence().form == right.sequence().form;
}

Value joined(Heap& heap, const Value& left, const Value& right) {
  if (left.is_string()) {
    BoundedText text(heap);
    text.append(left.string());
    text.append(right.string());
    return make_string(text);
  }
  const Sequence& first = left.sequence();
  const Sequence& second = right.sequence();
  heap.check_room(sizeof(Value) * (first.items.size() + second.items.size()));
  Values items = first.items;
  items.insert(items.end(), second.items.begin(), second.items.end());
  return make_sequence(heap, std::move(items), first.form);
}

// What `size` bytes, `times` over, take; the bound of Heap is far below what overflows.
void check_repeated(const Heap& heap, std::size_t size, std::size_t times) {
  std::uint64_t bytes = 0;
  if (__builtin_mul_overflow(std::uint64_t{size}, std::uint64_t{times}, &bytes)) bytes = UINT64_MAX;
  heap.check_room(bytes);
}

Value repeated(Heap& heap, const Value& value, std::int64_t count) {
  const std::size_t times = count < 0 ? 0 : static_cast<std::size_t>(count);
  if (value.is_string()) {
    const std::string& text = value.string();
    check_repeated(heap, text.size(), times);
    std::string made;
    made.reserve(text.size() * times);
    for (std::size_t i = 0; i < times && !text.empty(); ++i) made += text;
    return make_string(heap, std::move(made));
  }
  const Sequence& sequence = value.sequence();
  check_repeated(heap, sequence.items.size() * sizeof(Value), times);
  Values items;
  for (std::size_t i = 0; i < times && !sequence.items.empty(); ++i) {
    items.insert(items.end(), sequence.items.begin(), sequence.items.end());
  }
  return make_sequence(heap, std::move(items), sequence.form);
}

// What + and * do to strings, lists and tuples; nothing when the types do not fit.
std::optional<Value> on_sequences(Heap& heap, Arithmetic operation, const Value& left,
                                  const Value& right) {
  const auto repeats = [](const Value& value) {
    return value.is_string() || is_list_or_tuple(value);
  };
  if (operation == Arithmetic::add) {
    const bool strings = left.is_string() && right.is_string();
    if (strings || same_form(left, right)) return joined(heap, left, right);
  }
  if (operation == Arithmetic::multiply) {
    if (repeats(left) && right.is_integer()) return repeated(heap, left, right.as_integer());
    if (repeats(right) && left.is_integer()) return repeated(heap, right, left.as_integer());
  }
  return std::nullopt;
}

bool equal_items(Heap& heap, const Values& left, const Values& right) {
  return left.size() == right.size() &&
         std::equal(left.begin(), left.end(), right.begin(),
                    [&](const Value& a, const Value& b) { return equal(heap, a, b); });
}

bool equal_dicts(Heap& heap, const Dict& left, const Dict& right) {
  if (left.entries().size() != right.entries().size()) return false;
  return std::all_of(left.entries().begin(), left.entries().end(), [&](const auto& entry) {
    const Value* other = right.find(entry.key);
    return other != nullptr && equal(heap, entry.value, *other);
  });
}

bool equal_sequences(Heap& heap, const Value& left, const Value& right) {
  const Sequence& a = left.sequence();
  const Sequence& b = right.sequence();
  const bool comparable = a.form == b.form && (a.has_places() || a.form == Sequence::Form::items);
  return comparable ? equal_items(heap, a.items, b.items) : &a == &b;
}

bool less_numbers(const Value& left, const Value& right) {
  if (left.is_integer() && right.is_integer()) return left.as_integer() < right.as_integer();
  return left.as_real() < right.as_real();
}

bool less_items(Heap& heap, const Values& left, const Values& right) {
  for (std::size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
    if (!equal(heap, left[i], right[i])) return less(heap, left[i], right[i]);
  }
  return left.size() < right.size();
}

bool contains_item(Heap& heap, const Sequence& sequence, const Value& item) {
  const auto is_it = [&](const Value& candidate) { return equal(heap, candidate, item); };
  if (sequence.form != Sequence::Form::iterator) {
    return std::any_of(sequence.items.begin(), sequence.items.end(), is_it);
  }
  // An iterator is spent up to what was found.
  while (sequence.given < sequence.items.size()) {
    if (is_it(sequence.items[sequence.given++])) return true;
  }
  return false;
}

}  // namespace

void refuse_undefined(const Value& value) {
  const auto& why = value.undefined().why;
  throw bad_input("{}", why ? std::string_view(why->text) : "a value is undefined");
}

bool truth(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::undefined:
    case Value::Kind::none:
      return false;
    case Value::Kind::boolean:
    case Value::Kind::integer:
      return value.as_integer() != 0;
    case Value::Kind::real:
      return value.as_real() != 0;
    case Value::Kind::string:
      return !value.string().empty();
    case Value::Kind::sequence:
      return value.sequence().form == Sequence::Form::iterator || !value.sequence().items.empty();
    case Value::Kind::dict:
      return !value.dict().entries().empty();
    default:
      return true;
  }
}

Value calculate(Runtime& runtime, Arithmetic operation, const Value& left, const Value& right) {
  if (left.is(Value::Kind::undefined)) refuse_undefined(left);
  if (operation == Arithmetic::remainder && left.is_string()) {
    return format_text(runtime.heap, left.string(), right);
  }
  if (right.is(Value::Kind::undefined)) refuse_undefined(right);
  if (left.is_number() && right.is_number()) return numbers(operation, left, right);
  if (auto made = on_sequences(runtime.heap, operation, left, right)) return *made;
  throw bad_input("the operator {} does not take {} and {}",
                  kSigns[static_cast<std::size_t>(operation)], left.type(), right.type());
}

Value negative(const Value& value) {
  if (value.is(Value::Kind::undefined)) refuse_undefined(value);
  if (value.is(Value::Kind::real)) return Value::real(-value.as_real());
  if (!value.is_integer()) throw bad_input("the operator - does not take {}", value.type());
  return integers(Arithmetic::subtract, 0, value.as_integer());
}

Value positive(const Value& value) {
  if (value.is(Value::Kind::undefined)) refuse_undefined(value);
  if (!value.is_number()) throw bad_input("the operator + does not take {}", value.type());
  return value.is(Value::Kind::boolean) ? Value::integer(value.as_integer()) : value;
}

bool equal(Heap& heap, const Value& left, const Value& right) {
  heap.work(1);
  if (left.is_integer() && right.is_integer()) return left.as_integer() == right.as_integer();
  if (left.is_number() && right.is_number()) return left.as_real() == right.as_real();
  if (left.kind() != right.kind()) return false;
  switch (left.kind()) {
    case Value::Kind::undefined:
      return true;
    case Value::Kind::string:
      heap.work(left.string().size() / 64);
      return left.string() == right.string();
    case Value::Kind::sequence:
      return equal_sequences(heap, left, right);
    case Value::Kind::dict:
      return equal_dicts(heap, left.dict(), right.dict());
    default:
      return left.same_as(right);
  }
}

bool less(Heap& heap, const Value& left, const Value& right) {
  heap.work(1);
  if (left.is_number() && right.is_number()) return less_numbers(left, right);
  if (left.is_string() && right.is_string()) {
    heap.work(left.string().size() / 64);
    return left.string() < right.string();
  }
  if (same_form(left, right)) {
    return less_items(heap, left.sequence().items, right.sequence().items);
  }
  if (left.is(Value::Kind::undefined)) refuse_undefined(left);
  if (right.is(Value::Kind::undefined)) refuse_undefined(right);
  throw bad_input("{} and {} have no order", left.type(), right.type());
}

bool contains(Heap& heap, const Value& container, const Value& item) {
  heap.work(1);
  switch (container.kind()) {
    case Value::Kind::undefined:
      return false;
    case Value::Kind::string:
      if (!item.is_string()) throw bad_input("a string contains strings, not {}", item.type());
      heap.work((container.string().size() + item.string().size()) / 64);
      return find_bytes(container.string(), item.string(), 0) != std::string_view::npos;
    case Value::Kind::sequence:
      return contains_item(heap, container.sequence(), item);
    case Value::Kind::dict:
      return container.dict().find(item) != nullptr;
    default:
      throw bad_input("a value of type {} contains nothing", container.type());
  }
}

}  // namespace terse::chat
