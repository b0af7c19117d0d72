// What a for statement goes through, and the variable `loop` in it.
#pragma once

#include <functional>
#include <optional>

#include "terse/chat/template_value.h"

namespace terse::chat {

/// Items are tested only when they are asked for, so a condition sees what the body changed; asking
/// for `last`, `nextitem` or `length` looks ahead.
class Loop : public Object {
 public:
  using Condition = std::function<bool(const Value&)>;

  /// `condition` may be empty.
  Loop(Heap& heap, Values items, Condition condition);

  /// The next item; nothing at the end.
  std::optional<Value> next();

  std::string_view type() const override { return "loop"; }
  std::size_t nesting() const override { return nesting_; }
  std::optional<Value> attribute(Runtime& runtime, std::string_view name) override;
  /// The condition refers to the interpreter's frames: it must not be asked when they are gone.
  void finish() { condition_ = {}; }

 private:
  void require_not_testing() const;
  bool holds(const Value& item);
  void look_ahead();
  std::size_t length();
  Value item_or_undefined(Runtime& runtime, const std::optional<Value>& item) const;

  Allocation allocation_;
  Values items_;
  Condition condition_;
  std::size_t nesting_;
  bool testing_ = false;   // the condition is being asked
  std::size_t read_ = 0;   // of items_
  std::size_t index_ = 0;  // of the current one, from 1
  std::optional<Value> previous_;
  std::optional<Value> current_;
  std::optional<Value> ahead_;
};

}  // namespace terse::chat
