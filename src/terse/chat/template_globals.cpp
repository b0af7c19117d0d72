#include "terse/chat/template_globals.h"

#include <algorithm>
#include <iterator>
#include <map>

#include "terse/chat/template_access.h"
#include "terse/chat/template_arguments.h"
#include "terse/chat/template_operators.h"
#include "terse/chat/template_text.h"
#include "terse/chat/template_time.h"

namespace terse::chat {
namespace {

class Namespace : public Object {
 public:
  explicit Namespace(Heap& heap) : allocation_(heap, 128) {}

  std::string_view type() const override { return "namespace"; }
  std::optional<Value> attribute(Runtime&, std::string_view name) override {
    const auto found = attributes_.find(name);
    return found == attributes_.end() ? std::nullopt : std::optional(found->second);
  }
  void set(std::string_view name, Value value) {
    if (const auto found = attributes_.find(name); found != attributes_.end()) {
      found->second = std::move(value);
      return;
    }
    allocation_.grow(128 + name.size());
    attributes_.emplace(name, std::move(value));
  }
  void clear() override { attributes_.clear(); }

 private:
  Allocation allocation_;
  std::map<std::string, Value, std::less<>> attributes_;
};

class Function : public Object {
 public:
  using Call = Value (*)(Runtime& runtime, const Arguments& arguments);
  explicit Function(Call body) : body_(body) {}

  std::string_view type() const override { return "function"; }
  bool is_callable() const override { return true; }
  Value call(Runtime& runtime, const Arguments& arguments) override {
    return body_(runtime, arguments);
  }

 private:
  Call body_;
};

// Gives nothing the first time, then the separator.
class Joiner : public Object {
 public:
  explicit Joiner(Value separator) : separator_(std::move(separator)) {}

  std::string_view type() const override { return "joiner"; }
  bool is_callable() const override { return true; }
  Value call(Runtime& runtime, const Arguments& arguments) override {
    const Parameters none("joiner", arguments, {});
    const bool first = !used_;
    used_ = true;
    return first ? make_string(runtime.heap, "") : separator_;
  }

 private:
  Value separator_;  // a string
  bool used_ = false;
};

std::int64_t range_size(std::int64_t start, std::int64_t stop, std::int64_t step) {
  if (step == 0) throw bad_input("the step of a range is 0");
  if (step > 0 ? start >= stop : start <= stop) return 0;
  // Unsigned: the distance of two integers may need 64 bits.
  const std::uint64_t from = static_cast<std::uint64_t>(start);
  const std::uint64_t to = static_cast<std::uint64_t>(stop);
  const std::uint64_t distance = step > 0 ? to - from : from - to;
  const std::uint64_t stride =
      step > 0 ? static_cast<std::uint64_t>(step) : -static_cast<std::uint64_t>(step);
  const std::uint64_t size = (distance - 1) / stride + 1;
  constexpr std::uint64_t kLargest = 100'000;  // the sandbox's own bound
  if (size > kLargest)
    throw bad_input("a range has {} numbers; at most {} are allowed", size, kLargest);
  return static_cast<std::int64_t>(size);
}

Value range(Runtime& runtime, const Arguments& arguments) {
  const Parameters given("range", arguments, {"start", "stop", "step"}, 1);
  const std::int64_t start = given.has(1) ? given.integer(0) : 0;
  const std::int64_t stop = given.integer(given.has(1) ? 1 : 0);
  const std::int64_t step = given.integer(2, 1);
  Values numbers;
  for (std::int64_t i = 0, size = range_size(start, stop, step); i < size; ++i) {
    numbers.push_back(Value::integer(start + i * step));
  }
  return make_sequence(runtime.heap, std::move(numbers), Sequence::Form::range);
}

// The entries that dict(...) and namespace(...) are called with.
Dict entries_of(Runtime& runtime, std::string_view name, const Arguments& arguments) {
  if (arguments.positional.size() > 1) throw bad_input("{} takes at most one dict", name);
  Dict made(runtime.heap);
  for (const Value& source : arguments.positional) {
    if (source.is(Value::Kind::dict)) {
      for (const auto& [key, value] : source.dict().entries()) made.set(key, value);
      continue;
    }
    for (const Value& item : items_of(runtime, source)) {
      const Values pair = items_of(runtime, item);
      if (pair.size() != 2) throw bad_input("{} expects pairs of a key and a value", name);
      made.set(pair[0], pair[1]);
    }
  }
  for (const auto& [key, value] : arguments.named) {
    made.set(make_string(runtime.heap, key), value);
  }
  return made;
}

Value dict(Runtime& runtime, const Arguments& arguments) {
  return make_dict(entries_of(runtime, "dict", arguments));
}

Value name_space(Runtime& runtime, const Arguments& arguments) {
  const auto made = std::make_shared<Namespace>(runtime.heap);
  const Dict entries = entries_of(runtime, "namespace", arguments);
  for (const auto& [key, value] : entries.entries()) {
    if (key.is_string()) made->set(key.string(), value);
  }
  runtime.namespaces.push_back(made);
  return Value(made);
}

Value joiner(Runtime& runtime, const Arguments& arguments) {
  const Parameters given("joiner", arguments, {"sep"});
  const std::string separator = given.has(0) ? text_of(runtime.heap, given.at(0)) : ", ";
  return Value(std::make_shared<Joiner>(make_string(runtime.heap, separator)));
}

Value raise_exception(Runtime& runtime, const Arguments& arguments) {
  const Parameters given("raise_exception", arguments, {"message"}, 1);
  throw RaisedByTemplate(ErrorKind::bad_input, text_of(runtime.heap, given.at(0)));
}

Value strftime_now(Runtime& runtime, const Arguments& arguments) {
  const Parameters given("strftime_now", arguments, {"format"}, 1);
  return format_time(runtime.heap, given.text(0), runtime.now);
}

struct Entry {
  std::string_view name;
  Function::Call call;
};

constexpr Entry kFunctions[] = {
    {"range", range},
    {"dict", dict},
    {"namespace", name_space},
    {"joiner", joiner},
    {"raise_exception", raise_exception},
    {"strftime_now", strftime_now},
};

}  // namespace

std::optional<Value> find_global(std::string_view name) {
  const auto* found = std::find_if(std::begin(kFunctions), std::end(kFunctions),
                                   [&](const Entry& entry) { return entry.name == name; });
  if (found == std::end(kFunctions)) return std::nullopt;
  return Value(std::make_shared<Function>(found->call));
}

void set_attribute(const Value& object, std::string_view name, Value value) {
  auto* target =
      object.is(Value::Kind::object) ? dynamic_cast<Namespace*>(&object.object()) : nullptr;
  if (target == nullptr) {
    throw bad_input("'{}' can be set on a namespace only, not on a value of type {}", name,
                    object.type());
  }
  target->set(name, std::move(value));
}

}  // namespace terse::chat
