#include "terse/chat/template_tests.h"

#include <algorithm>
#include <iterator>

#include "terse/chat/code_points.h"
#include "terse/chat/template_access.h"
#include "terse/chat/template_arguments.h"
#include "terse/chat/template_operators.h"
#include "terse/chat/template_text.h"
#include "terse/core/error.h"

namespace terse::chat {
namespace {

using Kind = Value::Kind;

bool is_defined(const Value& value) {
  return !value.is(Kind::undefined);
}
bool is_undefined(const Value& value) {
  return value.is(Kind::undefined);
}
bool is_none(const Value& value) {
  return value.is(Kind::none);
}
bool is_boolean(const Value& value) {
  return value.is(Kind::boolean);
}
bool is_true(const Value& value) {
  return value.is(Kind::boolean) && value.as_boolean();
}
bool is_false(const Value& value) {
  return value.is(Kind::boolean) && !value.as_boolean();
}
bool is_integer(const Value& value) {
  return value.is(Kind::integer);
}
bool is_real(const Value& value) {
  return value.is(Kind::real);
}
bool is_number(const Value& value) {
  return value.is_number();
}
bool is_string(const Value& value) {
  return value.is_string();
}
bool is_mapping(const Value& value) {
  return value.is(Kind::dict);
}
// What has a length and items by key or by place: dicts too.
bool is_sequence(const Value& value) {
  return value.is_string() || value.is(Kind::dict) || value.is(Kind::undefined) ||
         (value.is(Kind::sequence) && value.sequence().has_places());
}
// Undefined values can be called as far as this test knows.
bool is_callable(const Value& value) {
  return value.is(Kind::undefined) || (value.is(Kind::object) && value.object().is_callable());
}
bool is_escaped(const Value&) {
  return false;
}

std::int64_t remainder(Runtime& runtime, const Value& value, std::int64_t divisor) {
  const Value rest = calculate(runtime, Arithmetic::remainder, value, Value::integer(divisor));
  if (!rest.is_number()) throw bad_input("a number is expected, not {}", value.type());
  // Of a float only a remainder of exactly 0 or 1 counts.
  const double real = rest.as_real();
  return real == 0 ? 0 : real == 1 ? 1 : -1;
}

bool has_case(Runtime& runtime, const Value& value, bool (*fits)(char32_t)) {
  bool any = false;
  const std::string text = text_of(runtime.heap, value);
  for (const std::string_view piece : Characters(text)) {
    const char32_t character = code_point_at(piece, 0);
    if (!is_cased(character)) continue;
    if (!fits(character)) return false;
    any = true;
  }
  return any;
}

using Unary = bool (*)(const Value&);
struct UnaryTest {
  std::string_view name;
  Unary holds;
};
constexpr UnaryTest kUnary[] = {
    {"boolean", is_boolean}, {"callable", is_callable}, {"defined", is_defined},
    {"escaped", is_escaped}, {"false", is_false},       {"float", is_real},
    {"integer", is_integer}, {"iterable", is_iterable}, {"mapping", is_mapping},
    {"none", is_none},       {"number", is_number},     {"sequence", is_sequence},
    {"string", is_string},   {"true", is_true},         {"undefined", is_undefined},
};

using Computed = bool (*)(Runtime&, const Value&);
struct ComputedTest {
  std::string_view name;
  Computed holds;
};
constexpr ComputedTest kComputed[] = {
    {"even",
     [](Runtime& runtime, const Value& value) { return remainder(runtime, value, 2) == 0; }},
    {"odd", [](Runtime& runtime, const Value& value) { return remainder(runtime, value, 2) == 1; }},
    {"lower",
     [](Runtime& runtime, const Value& value) { return has_case(runtime, value, is_lower_case); }},
    {"upper",
     [](Runtime& runtime, const Value& value) { return has_case(runtime, value, is_upper_case); }},
};

bool equal_to(Heap& heap, const Value& a, const Value& b) {
  return equal(heap, a, b);
}
bool different(Heap& heap, const Value& a, const Value& b) {
  return !equal(heap, a, b);
}
bool at_least(Heap& heap, const Value& a, const Value& b) {
  return less(heap, b, a) || equal(heap, a, b);
}
bool greater(Heap& heap, const Value& a, const Value& b) {
  return less(heap, b, a);
}
bool at_most(Heap& heap, const Value& a, const Value& b) {
  return less(heap, a, b) || equal(heap, a, b);
}
bool is_in(Heap& heap, const Value& item, const Value& container) {
  return contains(heap, container, item);
}
bool is_same(Heap& heap, const Value& a, const Value& b) {
  if (a.is_string()) heap.work(a.string().size() / 64);
  return a.same_as(b);
}

using Binary = bool (*)(Heap&, const Value&, const Value&);
struct BinaryTest {
  std::string_view name;
  Binary holds;
};
constexpr BinaryTest kBinary[] = {
    {"==", equal_to},         {"eq", equal_to}, {"equalto", equal_to}, {"!=", different},
    {"ne", different},        {"<", less},      {"lt", less},          {"lessthan", less},
    {"<=", at_most},          {"le", at_most},  {">", greater},        {"gt", greater},
    {"greaterthan", greater}, {">=", at_least}, {"ge", at_least},      {"in", is_in},
    {"sameas", is_same},
};

template <class Table>
auto find(const Table& table, std::string_view name) {
  const auto* found = std::find_if(std::begin(table), std::end(table),
                                   [&](const auto& entry) { return entry.name == name; });
  return found == std::end(table) ? nullptr : found;
}

}  // namespace

bool apply_test(Runtime& runtime, std::string_view name, const Value& value,
                const Arguments& arguments) {
  charge_for(runtime.heap, value);
  if (const auto* test = find(kUnary, name)) {
    const Parameters none(name, arguments, {});
    return test->holds(value);
  }
  if (const auto* test = find(kComputed, name)) {
    const Parameters none(name, arguments, {});
    return test->holds(runtime, value);
  }
  if (const auto* test = find(kBinary, name)) {
    const Parameters given(name, arguments, {"other"}, 1);
    return test->holds(runtime.heap, value, given.at(0));
  }
  if (name == "divisibleby") {
    const Parameters given(name, arguments, {"num"}, 1);
    return !truth(calculate(runtime, Arithmetic::remainder, value, given.at(0)));
  }
  throw bad_input("there is no test '{}'", name);
}

}  // namespace terse::chat
