// The syntax tree of a template.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "terse/chat/template_operators.h"
#include "terse/chat/template_value.h"

namespace terse::chat {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;
using Expressions = std::vector<ExpressionPtr>;

struct Constant {
  Value value;
};
struct Name {
  std::string name;
};
struct ListDisplay {
  Expressions items;
  bool tuple;
};
struct DictDisplay {
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> entries;
};
struct Unary {
  enum class Operation { plus, minus, logical_not };
  Operation operation;
  ExpressionPtr operand;
};
struct Binary {
  Arithmetic operation;
  ExpressionPtr left;
  ExpressionPtr right;
};
/// left ~ right: texts joined.
struct Concatenation {
  ExpressionPtr left;
  ExpressionPtr right;
};
struct Logical {
  bool is_and;
  ExpressionPtr left;
  ExpressionPtr right;
};
/// first < second == third: each neighbouring pair must hold.
struct Comparison {
  enum class Operation { equal, unequal, less, at_most, greater, at_least, in, not_in };
  ExpressionPtr first;
  std::vector<std::pair<Operation, ExpressionPtr>> rest;
};
/// value if condition else otherwise; `otherwise` may be null.
struct Conditional {
  ExpressionPtr condition;
  ExpressionPtr value;
  ExpressionPtr otherwise;
};
struct Attribute {
  ExpressionPtr value;
  std::string name;
};
struct Item {
  ExpressionPtr value;
  ExpressionPtr key;
};
/// value[start:stop:step]; each may be null.
struct Slice {
  ExpressionPtr value;
  ExpressionPtr start;
  ExpressionPtr stop;
  ExpressionPtr step;
};
struct CallArguments {
  Expressions positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
};
struct Call {
  ExpressionPtr function;
  CallArguments arguments;
};
/// A null value is the text of the block that the filter is written for.
struct FilterCall {
  std::string name;
  ExpressionPtr value;
  CallArguments arguments;
};
struct TestCall {
  std::string name;
  ExpressionPtr value;
  CallArguments arguments;
};

struct Expression {
  std::variant<Constant, Name, ListDisplay, DictDisplay, Unary, Binary, Concatenation, Logical,
               Comparison, Conditional, Attribute, Item, Slice, Call, FilterCall, TestCall>
      node;
  int line;
  std::size_t depth;  // of the tree below, itself included
};

/// What is assigned to: a name, an attribute of a namespace, or several of them.
struct Target {
  std::string name;
  std::string attribute;      // empty: the name itself
  std::vector<Target> parts;  // several; `name` is empty then
};

struct Statement;
using Body = std::vector<Statement>;

struct TextOutput {
  std::string text;
};
struct Output {
  ExpressionPtr value;
};
/// if and elif by their conditions; else has none.
struct If {
  struct Branch {
    ExpressionPtr condition;
    Body body;
  };
  std::vector<Branch> branches;
};
struct For {
  Target target;
  ExpressionPtr items;
  ExpressionPtr condition;  // may be null
  Body body;
  Body otherwise;
};
struct Set {
  Target target;
  ExpressionPtr value;
};
/// A block whose text goes through filters: into a variable, or, without target, to the output.
struct CapturedBlock {
  std::optional<Target> target;
  ExpressionPtr filter;  // may be null
  Body body;
};
struct Parameter {
  std::string name;
  ExpressionPtr absent;  // may be null
};
struct Macro {
  std::string name;
  std::vector<Parameter> parameters;
  Body body;
};
/// A call of a macro that is handed the block as `caller`.
struct CallBlock {
  Macro caller;
  ExpressionPtr call;
};
struct With {
  std::vector<std::pair<Target, ExpressionPtr>> values;
  Body body;
};
/// A block that only stands for its content.
struct Group {
  Body body;
};
struct Break {};
struct Continue {};

struct Statement {
  std::variant<TextOutput, Output, If, For, Set, CapturedBlock, Macro, CallBlock, With, Group,
               Break, Continue>
      node;
  int line;
};

}  // namespace terse::chat
