#include "terse/chat/template_loop.h"

#include "terse/chat/template_arguments.h"
#include "terse/core/error.h"

namespace terse::chat {
namespace {

// loop.cycle(a, b, c): one of its arguments in turn.
class Cycle : public Object {
 public:
  explicit Cycle(std::size_t index) : index_(index) {}

  std::string_view type() const override { return "method"; }
  bool is_callable() const override { return true; }
  Value call(Runtime&, const Arguments& arguments) override {
    if (arguments.positional.empty() || !arguments.named.empty()) {
      throw bad_input("loop.cycle expects items");
    }
    return arguments.positional[index_ % arguments.positional.size()];
  }

 private:
  std::size_t index_;
};

Value number(std::size_t value) {
  return Value::integer(static_cast<std::int64_t>(value));
}

}  // namespace

Loop::Loop(Heap& heap, Values items, Condition condition)
    : allocation_(heap, 256 + items.size() * sizeof(Value)),
      items_(std::move(items)),
      condition_(std::move(condition)),
      nesting_(nesting_around(items_)) {}

void Loop::look_ahead() {
  while (!ahead_ && read_ < items_.size()) {
    const Value item = items_[read_++];
    if (holds(item)) ahead_ = item;
  }
}

// What the condition asks of its own loop would ask the condition again.
void Loop::require_not_testing() const {
  if (testing_) throw bad_input("the condition of a loop asks for the loop's own items");
}

bool Loop::holds(const Value& item) {
  if (!condition_) return true;
  require_not_testing();
  testing_ = true;
  const bool result = condition_(item);
  testing_ = false;
  return result;
}

std::optional<Value> Loop::next() {
  look_ahead();
  previous_ = std::move(current_);
  current_ = std::move(ahead_);
  ahead_.reset();
  if (current_) ++index_;
  return current_;
}

std::size_t Loop::length() {
  if (condition_) {
    require_not_testing();
    // What remains is tested now, once.
    Values rest;
    for (look_ahead(); ahead_; look_ahead()) {
      rest.push_back(std::move(*ahead_));
      ahead_.reset();
    }
    items_ = std::move(rest);
    read_ = 0;
    condition_ = {};
  }
  return index_ + (ahead_ ? 1 : 0) + items_.size() - read_;
}

Value Loop::item_or_undefined(Runtime& runtime, const std::optional<Value>& item) const {
  return item ? *item : make_undefined(runtime.heap, "the loop has no item there");
}

std::optional<Value> Loop::attribute(Runtime& runtime, std::string_view name) {
  if (name == "index") return number(index_);
  if (name == "index0") return number(index_ - 1);
  if (name == "first") return Value::boolean(index_ == 1);
  if (name == "length") return number(length());
  if (name == "revindex") return number(length() - index_ + 1);
  if (name == "revindex0") return number(length() - index_);
  // Only recursive loops are deeper, and there are none here.
  if (name == "depth") return number(1);
  if (name == "depth0") return number(0);
  if (name == "previtem") return item_or_undefined(runtime, previous_);
  if (name == "cycle") return Value(std::make_shared<Cycle>(index_ - 1));
  if (name == "changed") throw bad_input("loop.changed is not supported");
  if (name != "last" && name != "nextitem") return std::nullopt;
  look_ahead();
  if (name == "last") return Value::boolean(!ahead_);
  return item_or_undefined(runtime, ahead_);
}

}  // namespace terse::chat
