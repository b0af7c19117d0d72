#include "terse/chat/template_methods.h"

#include <algorithm>
#include <array>

#include "terse/chat/template_arguments.h"
#include "terse/chat/template_operators.h"
#include "terse/core/error.h"

namespace terse::chat {
namespace {

class BoundMethod : public Object {
 public:
  BoundMethod(Value self, const Method& method)
      : self_(std::move(self)), method_(method), nesting_(nesting_around({self_})) {}

  std::string_view type() const override { return "method"; }
  std::size_t nesting() const override { return nesting_; }
  bool is_callable() const override { return true; }
  Value call(Runtime& runtime, const Arguments& arguments) override {
    charge_for(runtime.heap, self_);
    return method_.call(runtime, self_, method_.name, arguments);
  }

 private:
  Value self_;
  const Method& method_;
  std::size_t nesting_;
};

Value count_items(Runtime& runtime, const Value& self, std::string_view name,
                  const Arguments& arguments) {
  const Parameters given(name, arguments, {"value"}, 1);
  const Values& items = self.sequence().items;
  return Value::integer(std::count_if(items.begin(), items.end(), [&](const Value& item) {
    return equal(runtime.heap, item, given.at(0));
  }));
}

Value index_of_item(Runtime& runtime, const Value& self, std::string_view name,
                    const Arguments& arguments) {
  const Parameters given(name, arguments, {"value"}, 1);
  const Values& items = self.sequence().items;
  const auto found = std::find_if(items.begin(), items.end(), [&](const Value& item) {
    return equal(runtime.heap, item, given.at(0));
  });
  if (found == items.end()) throw bad_input("the value is not in the {}", self.type());
  return Value::integer(found - items.begin());
}

Value copy(Runtime&, const Value& self, std::string_view name, const Arguments& arguments) {
  const Parameters none(name, arguments, {});
  return self;
}

Value get(Runtime&, const Value& self, std::string_view name, const Arguments& arguments) {
  const Parameters given(name, arguments, {"key", "default"}, 1);
  const Value* found = self.dict().find(given.at(0));
  return found != nullptr ? *found : given.value(1, Value());
}

Value keys(Runtime& runtime, const Value& self, std::string_view name, const Arguments& arguments) {
  const Parameters none(name, arguments, {});
  Values made;
  for (const auto& entry : self.dict().entries()) made.push_back(entry.key);
  return make_sequence(runtime.heap, std::move(made), Sequence::Form::keys);
}

Value values(Runtime& runtime, const Value& self, std::string_view name,
             const Arguments& arguments) {
  const Parameters none(name, arguments, {});
  Values made;
  for (const auto& entry : self.dict().entries()) made.push_back(entry.value);
  return make_sequence(runtime.heap, std::move(made), Sequence::Form::values);
}

Value items(Runtime& runtime, const Value& self, std::string_view name,
            const Arguments& arguments) {
  const Parameters none(name, arguments, {});
  Values made;
  for (const auto& [key, value] : self.dict().entries()) {
    made.push_back(make_sequence(runtime.heap, {key, value}, Sequence::Form::tuple));
  }
  return make_sequence(runtime.heap, std::move(made), Sequence::Form::items);
}

constexpr std::array<Method, 3> kListMethods{
    {{"count", count_items}, {"index", index_of_item}, {"copy", copy}}};
constexpr std::array<Method, 5> kDictMethods{
    {{"get", get}, {"items", items}, {"keys", keys}, {"values", values}, {"copy", copy}}};
// What strings of Python have beside: refused by name, for silence would change the text.
constexpr std::array<std::string_view, 10> kMissingStringMethods{
    "casefold",     "encode",      "expandtabs", "format",    "format_map",
    "isidentifier", "isprintable", "isnumeric",  "maketrans", "translate"};

template <std::size_t size>
const Method* find(const std::array<Method, size>& methods, std::string_view name) {
  const auto found = std::find_if(methods.begin(), methods.end(),
                                  [&](const Method& method) { return method.name == name; });
  return found == methods.end() ? nullptr : &*found;
}

const Method* method_of(const Value& value, std::string_view name) {
  if (value.is_string()) {
    if (std::count(kMissingStringMethods.begin(), kMissingStringMethods.end(), name) > 0) {
      throw bad_input("the method '{}' of strings is not supported", name);
    }
    return find_string_method(name);
  }
  if (value.is(Value::Kind::dict)) return find(kDictMethods, name);
  if (!value.is(Value::Kind::sequence)) return nullptr;
  const Sequence& sequence = value.sequence();
  if (!sequence.has_places()) return nullptr;
  return sequence.form != Sequence::Form::list && name == "copy" ? nullptr
                                                                 : find(kListMethods, name);
}

}  // namespace

std::optional<Value> find_method(const Value& value, std::string_view name) {
  const Method* method = method_of(value, name);
  if (method == nullptr) return std::nullopt;
  return Value(std::make_shared<BoundMethod>(value, *method));
}

}  // namespace terse::chat
