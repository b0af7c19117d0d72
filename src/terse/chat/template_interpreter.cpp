#include "terse/chat/template_interpreter.h"

#include <algorithm>

#include "terse/chat/template_access.h"
#include "terse/chat/template_filters.h"
#include "terse/chat/template_globals.h"
#include "terse/chat/template_loop.h"
#include "terse/chat/template_scope.h"
#include "terse/chat/template_tests.h"
#include "terse/chat/template_text.h"
#include "terse/core/error.h"

namespace terse::chat {
namespace {

enum class Flow { on, break_loop, continue_loop };

class Interpreter {
 public:
  Interpreter(TemplateLimits limits, const std::tm& now)
      : runtime_(limits, now),
        text_(runtime_.heap),
        scope_(std::make_shared<Scope>(runtime_.heap)) {}

  std::string run(const Body& body, const OrderedJson& variables) {
    for (const auto& [name, value] : variables.items()) {
      scope_->set(name, from_json(runtime_.heap, value));
    }
    execute(body);
    return text_.release();
  }

  int line() const { return line_; }

  // The text of a macro, called with these arguments where it was written.
  Value call_macro(const Macro& macro, const ScopePtr& around, const Arguments& arguments);

 private:
  // One level of evaluation: bounds the stack, and counts a step.
  class Level {
   public:
    explicit Level(Interpreter& interpreter) : depth_(interpreter.depth_) {
      if (depth_ >= kMaximumEvaluationDepth) {
        throw bad_input("macros call each other too deep");
      }
      interpreter.runtime_.heap.work(1);
      ++depth_;
    }
    ~Level() { --depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    std::size_t& depth_;
  };

  // A new scope within `around`, until this ends.
  class NewScope {
   public:
    NewScope(Interpreter& interpreter, ScopePtr around)
        : interpreter_(interpreter), before_(interpreter.scope_) {
      interpreter_.scope_ = std::make_shared<Scope>(interpreter.runtime_.heap, std::move(around));
    }
    ~NewScope() { interpreter_.scope_ = before_; }
    NewScope(const NewScope&) = delete;
    NewScope& operator=(const NewScope&) = delete;

   private:
    Interpreter& interpreter_;
    ScopePtr before_;
  };

  // Statements.

  Flow execute(const Body& body) {
    for (const Statement& statement : body) {
      const Flow flow = execute(statement);
      if (flow != Flow::on) return flow;
    }
    return Flow::on;
  }

  Flow execute(const Statement& statement) {
    const Level level(*this);
    line_ = statement.line;
    return std::visit([&](const auto& node) { return run(node); }, statement.node);
  }

  Flow run(const TextOutput& node) {
    out_->append(node.text);
    return Flow::on;
  }

  Flow run(const Output& node) {
    append_text(*out_, evaluate(*node.value));
    return Flow::on;
  }

  Flow run(const If& node) {
    for (const auto& [condition, body] : node.branches) {
      if (condition == nullptr || truth(evaluate(*condition))) return execute(body);
    }
    return Flow::on;
  }

  Flow run(const For& node) {
    const ScopePtr around = scope_;
    Loop::Condition condition;
    if (node.condition != nullptr) {
      condition = [this, &node, around](const Value& item) {
        const NewScope scope(*this, around);
        assign(node.target, item);
        return truth(evaluate(*node.condition));
      };
    }
    const auto loop = std::make_shared<Loop>(
        runtime_.heap, items_of(runtime_, evaluate(*node.items)), std::move(condition));
    bool any = false;
    for (auto item = loop->next(); item; item = loop->next()) {
      any = true;
      const NewScope scope(*this, around);
      assign(node.target, *item);
      scope_->set("loop", Value(loop));
      if (execute(node.body) == Flow::break_loop) break;
    }
    loop->finish();
    if (any) return Flow::on;
    const NewScope scope(*this, around);
    return execute(node.otherwise);
  }

  Flow run(const Set& node) {
    assign(node.target, evaluate(*node.value));
    return Flow::on;
  }

  Flow run(const CapturedBlock& node) {
    BoundedText text(runtime_.heap);
    const Flow flow = capture(node.body, text);
    if (flow != Flow::on) return flow;
    const Value filtered = through_filter(node.filter, make_string(text));
    if (node.target) {
      assign(*node.target, filtered);
    } else {
      append_text(*out_, filtered);
    }
    return Flow::on;
  }

  Flow run(const Macro& node);
  Flow run(const CallBlock& node);

  Flow run(const With& node) {
    Values values;
    for (const auto& [target, value] : node.values) values.push_back(evaluate(*value));
    const NewScope scope(*this, scope_);
    for (std::size_t i = 0; i < values.size(); ++i) assign(node.values[i].first, values[i]);
    return execute(node.body);
  }

  Flow run(const Group& node) { return execute(node.body); }
  static Flow run(const Break&) { return Flow::break_loop; }
  static Flow run(const Continue&) { return Flow::continue_loop; }

  // What the body writes goes to `text`, and what it sets stays within.
  Flow capture(const Body& body, BoundedText& text) {
    const NewScope scope(*this, scope_);
    BoundedText* const before = std::exchange(out_, &text);
    const Flow flow = execute(body);
    out_ = before;
    return flow;
  }

  Value through_filter(const ExpressionPtr& filter, const Value& text) {
    if (filter == nullptr) return text;
    const Value* const before = std::exchange(block_text_, &text);
    Value filtered = evaluate(*filter);
    block_text_ = before;
    return filtered;
  }

  void assign(const Target& target, const Value& value) {
    if (!target.parts.empty()) return assign_parts(target, value);
    if (target.attribute.empty()) {
      scope_->set(target.name, value);
    } else {
      set_attribute(look_up(target.name), target.attribute, value);
    }
  }

  void assign_parts(const Target& target, const Value& value) {
    const Values items = items_of(runtime_, value);
    if (items.size() != target.parts.size()) {
      throw bad_input("{} values are assigned to {} names", items.size(), target.parts.size());
    }
    for (std::size_t i = 0; i < items.size(); ++i) assign(target.parts[i], items[i]);
  }

  Value look_up(const std::string& name) {
    if (const Value* found = scope_->find(name)) return *found;
    if (auto found = find_global(name)) return *found;
    return make_undefined(runtime_.heap, fmt::format("'{}' is undefined", name));
  }

  // A macro may be called when the scope that it was written in has ended.
  void keep(const ScopePtr& scope) {
    constexpr std::uint64_t kBytes = 512;
    if (!kept_.empty() && kept_.back() == scope) return;
    runtime_.heap.take(kBytes);
    kept_.push_back(scope);
  }

  // Expressions.

  Value evaluate(const Expression& expression) {
    const Level level(*this);
    // Not put back by an error: it then says where that came from.
    const int before = std::exchange(line_, expression.line);
    Value value = std::visit([&](const auto& node) { return value_of(node); }, expression.node);
    line_ = before;
    return value;
  }

  static Value value_of(const Constant& node) { return node.value; }
  Value value_of(const Name& node) { return look_up(node.name); }

  Value value_of(const ListDisplay& node) {
    Values items;
    for (const auto& item : node.items) items.push_back(evaluate(*item));
    const auto form = node.tuple ? Sequence::Form::tuple : Sequence::Form::list;
    return make_sequence(runtime_.heap, std::move(items), form);
  }

  Value value_of(const DictDisplay& node) {
    Dict dict(runtime_.heap);
    for (const auto& [key, value] : node.entries) {
      Value made = evaluate(*key);
      dict.set(std::move(made), evaluate(*value));
    }
    return make_dict(std::move(dict));
  }

  Value value_of(const Unary& node) {
    const Value operand = evaluate(*node.operand);
    switch (node.operation) {
      case Unary::Operation::plus:
        return positive(operand);
      case Unary::Operation::minus:
        return negative(operand);
      default:
        return Value::boolean(!truth(operand));
    }
  }

  Value value_of(const Binary& node) {
    const Value left = evaluate(*node.left);
    return calculate(runtime_, node.operation, left, evaluate(*node.right));
  }

  Value value_of(const Concatenation& node) {
    BoundedText text(runtime_.heap);
    append_text(text, evaluate(*node.left));
    append_text(text, evaluate(*node.right));
    return make_string(text);
  }

  Value value_of(const Logical& node) {
    Value left = evaluate(*node.left);
    return truth(left) == node.is_and ? evaluate(*node.right) : left;
  }

  Value value_of(const Comparison& node) {
    Value left = evaluate(*node.first);
    for (const auto& [operation, operand] : node.rest) {
      Value right = evaluate(*operand);
      if (!holds(operation, left, right)) return Value::boolean(false);
      left = std::move(right);
    }
    return Value::boolean(true);
  }

  bool holds(Comparison::Operation operation, const Value& left, const Value& right) {
    Heap& heap = runtime_.heap;
    switch (operation) {
      case Comparison::Operation::equal:
        return equal(heap, left, right);
      case Comparison::Operation::unequal:
        return !equal(heap, left, right);
      case Comparison::Operation::less:
        return less(heap, left, right);
      case Comparison::Operation::at_most:
        return less(heap, left, right) || equal(heap, left, right);
      case Comparison::Operation::greater:
        return less(heap, right, left);
      case Comparison::Operation::at_least:
        return less(heap, right, left) || equal(heap, left, right);
      case Comparison::Operation::in:
        return contains(heap, right, left);
      default:
        return !contains(heap, right, left);
    }
  }

  Value value_of(const Conditional& node) {
    if (truth(evaluate(*node.condition))) return evaluate(*node.value);
    if (node.otherwise != nullptr) return evaluate(*node.otherwise);
    return make_undefined(runtime_.heap, "an if expression without else has no value here");
  }

  Value value_of(const Attribute& node) {
    return attribute_of(runtime_, evaluate(*node.value), node.name);
  }

  Value value_of(const Item& node) {
    const Value value = evaluate(*node.value);
    return item_of(runtime_, value, evaluate(*node.key));
  }

  Value value_of(const Slice& node) {
    const Value value = evaluate(*node.value);
    const Value start = value_or_none(node.start);
    const Value stop = value_or_none(node.stop);
    return slice_of(runtime_, value, start, stop, value_or_none(node.step));
  }

  Value value_or_none(const ExpressionPtr& expression) {
    return expression == nullptr ? Value() : evaluate(*expression);
  }

  Arguments evaluate(const CallArguments& arguments) {
    Arguments made;
    for (const auto& value : arguments.positional) made.positional.push_back(evaluate(*value));
    for (const auto& [name, value] : arguments.named)
      made.named.emplace_back(name, evaluate(*value));
    return made;
  }

  Value value_of(const Call& node) {
    const Value function = evaluate(*node.function);
    return call(function, evaluate(node.arguments));
  }

  Value call(const Value& function, const Arguments& arguments) {
    if (function.is(Value::Kind::undefined)) refuse_undefined(function);
    if (!function.is(Value::Kind::object)) {
      throw bad_input("a value of type {} cannot be called", function.type());
    }
    return function.object().call(runtime_, arguments);
  }

  Value value_of(const FilterCall& node) {
    const Value value = node.value == nullptr ? *block_text_ : evaluate(*node.value);
    return apply_filter(runtime_, node.name, value, evaluate(node.arguments));
  }

  Value value_of(const TestCall& node) {
    const Value value = evaluate(*node.value);
    return Value::boolean(apply_test(runtime_, node.name, value, evaluate(node.arguments)));
  }

  Runtime runtime_;
  BoundedText text_;
  std::vector<ScopePtr> kept_;
  ScopePtr scope_;
  BoundedText* out_ = &text_;  // or that of the block or macro that is running
  const Value* block_text_ = nullptr;
  std::size_t depth_ = 0;
  int line_ = 1;
};

// A macro with the scope that it was written in, which the interpreter keeps.
class MacroFunction : public Object {
 public:
  MacroFunction(Interpreter& interpreter, const Macro& macro, const ScopePtr& around)
      : interpreter_(interpreter), macro_(macro), around_(around) {}

  std::string_view type() const override { return "macro"; }
  bool is_callable() const override { return true; }
  std::optional<Value> attribute(Runtime& runtime, std::string_view name) override {
    if (name == "name") return make_string(runtime.heap, macro_.name);
    return std::nullopt;
  }
  Value call(Runtime&, const Arguments& arguments) override {
    return interpreter_.call_macro(macro_, around_.lock(), arguments);
  }

 private:
  Interpreter& interpreter_;
  const Macro& macro_;
  std::weak_ptr<Scope> around_;
};

// What each parameter is given, in their order; null where nothing is. `caller` stands apart.
std::vector<const Value*> bind(const Macro& macro, const Arguments& arguments) {
  const auto& parameters = macro.parameters;
  if (arguments.positional.size() > parameters.size()) {
    throw bad_input("the macro '{}' takes at most {} arguments, not {}", macro.name,
                    parameters.size(), arguments.positional.size());
  }
  std::vector<const Value*> bound(parameters.size(), nullptr);
  for (std::size_t i = 0; i < arguments.positional.size(); ++i) {
    bound[i] = &arguments.positional[i];
  }
  for (const auto& [name, value] : arguments.named) {
    const auto found =
        std::find_if(parameters.begin(), parameters.end(),
                     [&, &wanted = name](const auto& each) { return each.name == wanted; });
    if (found == parameters.end()) {
      if (name == "caller") continue;
      throw bad_input("the macro '{}' has no argument '{}'", macro.name, name);
    }
    const Value*& slot = bound[static_cast<std::size_t>(found - parameters.begin())];
    if (slot != nullptr) throw bad_input("the macro '{}' is given '{}' twice", macro.name, name);
    slot = &value;
  }
  return bound;
}

Value Interpreter::call_macro(const Macro& macro, const ScopePtr& around,
                              const Arguments& arguments) {
  const std::vector<const Value*> bound = bind(macro, arguments);
  const NewScope scope(*this, around);
  for (const auto& [name, value] : arguments.named) {
    if (name == "caller") scope_->set(name, value);
  }
  for (std::size_t i = 0; i < bound.size(); ++i) {
    const Parameter& parameter = macro.parameters[i];
    Value value =
        bound[i] != nullptr ? *bound[i]
        : parameter.absent != nullptr
            ? evaluate(*parameter.absent)
            : make_undefined(runtime_.heap, fmt::format("'{}' was not given", parameter.name));
    scope_->set(parameter.name, std::move(value));
  }
  BoundedText text(runtime_.heap);
  BoundedText* const before = std::exchange(out_, &text);
  execute(macro.body);
  out_ = before;
  return make_string(text);
}

Flow Interpreter::run(const Macro& node) {
  keep(scope_);
  scope_->set(node.name, Value(std::make_shared<MacroFunction>(*this, node, scope_)));
  return Flow::on;
}

Flow Interpreter::run(const CallBlock& node) {
  keep(scope_);
  const Call& called = std::get<Call>(node.call->node);
  const Value function = evaluate(*called.function);
  Arguments arguments = evaluate(called.arguments);
  arguments.named.emplace_back("caller",
                               Value(std::make_shared<MacroFunction>(*this, node.caller, scope_)));
  append_text(*out_, call(function, arguments));
  return Flow::on;
}

}  // namespace

std::string run_template(const Body& body, const OrderedJson& variables, const std::tm& now,
                         TemplateLimits limits) {
  Interpreter interpreter(limits, now);
  try {
    return interpreter.run(body, variables);
  } catch (RaisedByTemplate&) {
    throw;
  } catch (Error& error) {
    error.add_context(fmt::format("line {}", interpreter.line()));
    throw;
  }
}

}  // namespace terse::chat
