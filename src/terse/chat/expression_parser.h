// Reads expressions, with the precedence that Jinja gives its operators.
#pragma once

#include "terse/chat/template_syntax.h"
#include "terse/chat/token_stream.h"

namespace terse::chat {

/// Errors of all functions: bad_input that names the line.
class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& tokens) : tokens_(tokens) {}

  /// One expression; `conditional`: whether it may be a `x if y else z`.
  ExpressionPtr expression(bool conditional = true);
  /// One expression, or several with commas between them: a tuple.
  ExpressionPtr tuple(bool conditional = true);
  /// A name or several to assign to; `attributes`: whether `ns.name` may be among them.
  Target target(bool attributes);
  /// The filters behind a block's name: `upper | trim`, or what begins with `|` when `leading`.
  ExpressionPtr block_filters(bool leading);
  ExpressionPtr call_expression();

 private:
  template <class Node>
  ExpressionPtr make(int line, Node node);

  ExpressionPtr disjunction();
  ExpressionPtr conjunction();
  ExpressionPtr negation();
  ExpressionPtr comparison();
  std::optional<Comparison::Operation> take_comparison();
  ExpressionPtr sum();
  ExpressionPtr concatenation();
  ExpressionPtr product();
  ExpressionPtr power();
  ExpressionPtr unary(bool with_filters);
  ExpressionPtr primary();
  ExpressionPtr named_primary(const Token& token);
  ExpressionPtr string(const Token& token);
  ExpressionPtr integer(const Token& token);
  ExpressionPtr parenthesised(int line);
  ExpressionPtr list(int line);
  ExpressionPtr dict(int line);
  ExpressionPtr postfix(ExpressionPtr value);
  ExpressionPtr filters_and_tests(ExpressionPtr value);
  ExpressionPtr filter(ExpressionPtr value);
  ExpressionPtr test(ExpressionPtr value);
  bool begins_test_argument() const;
  ExpressionPtr attribute(ExpressionPtr value);
  ExpressionPtr subscript(ExpressionPtr value);
  ExpressionPtr slice(ExpressionPtr value, ExpressionPtr start, int line);
  CallArguments arguments();
  ExpressionPtr call(ExpressionPtr function);
  std::string dotted_name();
  Target single_target(bool attributes);

  TokenStream& tokens_;
  std::size_t depth_ = 0;
};

}  // namespace terse::chat
