#include "terse/chat/expression_parser.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "terse/chat/template_numbers.h"

namespace terse::chat {
namespace {

using Kind = Token::Kind;

void deepen(std::size_t& depth, const ExpressionPtr& part) {
  if (part) depth = std::max(depth, part->depth);
}
void deepen(std::size_t& depth, const Expressions& parts) {
  for (const ExpressionPtr& part : parts) deepen(depth, part);
}
void deepen(std::size_t& depth, const CallArguments& arguments) {
  deepen(depth, arguments.positional);
  for (const auto& [name, value] : arguments.named) deepen(depth, value);
}

void deepen_by(std::size_t&, const Constant&) {}
void deepen_by(std::size_t&, const Name&) {}
void deepen_by(std::size_t& depth, const ListDisplay& node) {
  deepen(depth, node.items);
}
void deepen_by(std::size_t& depth, const DictDisplay& node) {
  for (const auto& [key, value] : node.entries) {
    deepen(depth, key);
    deepen(depth, value);
  }
}
void deepen_by(std::size_t& depth, const Unary& node) {
  deepen(depth, node.operand);
}
template <class Pair>
void deepen_by(std::size_t& depth, const Pair& node) {
  deepen(depth, node.left);
  deepen(depth, node.right);
}
void deepen_by(std::size_t& depth, const Comparison& node) {
  deepen(depth, node.first);
  for (const auto& [operation, value] : node.rest) deepen(depth, value);
}
void deepen_by(std::size_t& depth, const Conditional& node) {
  deepen(depth, node.condition);
  deepen(depth, node.value);
  deepen(depth, node.otherwise);
}
void deepen_by(std::size_t& depth, const Attribute& node) {
  deepen(depth, node.value);
}
void deepen_by(std::size_t& depth, const Item& node) {
  deepen(depth, node.value);
  deepen(depth, node.key);
}
void deepen_by(std::size_t& depth, const Slice& node) {
  deepen(depth, node.value);
  deepen(depth, node.start);
  deepen(depth, node.stop);
  deepen(depth, node.step);
}
void deepen_by(std::size_t& depth, const Call& node) {
  deepen(depth, node.function);
  deepen(depth, node.arguments);
}
void deepen_by(std::size_t& depth, const FilterCall& node) {
  deepen(depth, node.value);
  deepen(depth, node.arguments);
}
void deepen_by(std::size_t& depth, const TestCall& node) {
  deepen(depth, node.value);
  deepen(depth, node.arguments);
}

}  // namespace

template <class Node>
ExpressionPtr ExpressionParser::make(int line, Node node) {
  std::size_t depth = 0;
  deepen_by(depth, node);
  if (depth + 1 > kMaximumSyntaxDepth) throw tokens_.error("an expression is nested too deep");
  return std::make_unique<Expression>(Expression{std::move(node), line, depth + 1});
}

ExpressionPtr ExpressionParser::expression(bool conditional) {
  const DepthGuard guard(depth_, kMaximumSyntaxDepth, tokens_);
  ExpressionPtr value = disjunction();
  while (conditional && tokens_.is_name("if")) {
    const int line = tokens_.take().line;
    ExpressionPtr condition = disjunction();
    ExpressionPtr otherwise = tokens_.take_name("else") ? expression() : nullptr;
    value = make(line, Conditional{std::move(condition), std::move(value), std::move(otherwise)});
  }
  return value;
}

ExpressionPtr ExpressionParser::tuple(bool conditional) {
  const int line = tokens_.current().line;
  ExpressionPtr first = expression(conditional);
  if (!tokens_.is_sign(",")) return first;
  ListDisplay made{{}, true};
  made.items.push_back(std::move(first));
  while (tokens_.take_sign(",")) {
    const bool ends = tokens_.is(Kind::expression_end) || tokens_.is(Kind::block_end) ||
                      tokens_.is_sign(")") || tokens_.is_name("in");
    if (ends) break;
    made.items.push_back(expression(conditional));
  }
  return make(line, std::move(made));
}

ExpressionPtr ExpressionParser::disjunction() {
  ExpressionPtr left = conjunction();
  while (tokens_.is_name("or")) {
    const int line = tokens_.take().line;
    left = make(line, Logical{false, std::move(left), conjunction()});
  }
  return left;
}

ExpressionPtr ExpressionParser::conjunction() {
  ExpressionPtr left = negation();
  while (tokens_.is_name("and")) {
    const int line = tokens_.take().line;
    left = make(line, Logical{true, std::move(left), negation()});
  }
  return left;
}

ExpressionPtr ExpressionParser::negation() {
  if (!tokens_.is_name("not")) return comparison();
  const DepthGuard guard(depth_, kMaximumSyntaxDepth, tokens_);
  const int line = tokens_.take().line;
  return make(line, Unary{Unary::Operation::logical_not, negation()});
}

std::optional<Comparison::Operation> ExpressionParser::take_comparison() {
  using Operation = Comparison::Operation;
  constexpr std::array<std::pair<std::string_view, Operation>, 6> kSigns{
      {{"==", Operation::equal},
       {"!=", Operation::unequal},
       {"<", Operation::less},
       {"<=", Operation::at_most},
       {">", Operation::greater},
       {">=", Operation::at_least}}};
  for (const auto& [sign, operation] : kSigns) {
    if (tokens_.take_sign(sign)) return operation;
  }
  if (tokens_.take_name("in")) return Operation::in;
  const bool not_in =
      tokens_.is_name("not") && tokens_.next().kind == Kind::name && tokens_.next().text == "in";
  if (!not_in) return std::nullopt;
  tokens_.take();
  tokens_.take();
  return Operation::not_in;
}

ExpressionPtr ExpressionParser::comparison() {
  const int line = tokens_.current().line;
  Comparison made{sum(), {}};
  while (const auto operation = take_comparison()) made.rest.emplace_back(*operation, sum());
  return made.rest.empty() ? std::move(made.first) : make(line, std::move(made));
}

ExpressionPtr ExpressionParser::sum() {
  ExpressionPtr left = concatenation();
  while (tokens_.is_sign("+") || tokens_.is_sign("-")) {
    const Token sign = tokens_.take();
    const auto operation = sign.text == "+" ? Arithmetic::add : Arithmetic::subtract;
    left = make(sign.line, Binary{operation, std::move(left), concatenation()});
  }
  return left;
}

ExpressionPtr ExpressionParser::concatenation() {
  ExpressionPtr left = product();
  while (tokens_.is_sign("~")) {
    const int line = tokens_.take().line;
    left = make(line, Concatenation{std::move(left), product()});
  }
  return left;
}

ExpressionPtr ExpressionParser::product() {
  constexpr std::array<std::pair<std::string_view, Arithmetic>, 4> kSigns{
      {{"*", Arithmetic::multiply},
       {"/", Arithmetic::divide},
       {"//", Arithmetic::floor_divide},
       {"%", Arithmetic::remainder}}};
  ExpressionPtr left = power();
  for (;;) {
    const auto* found = std::find_if(kSigns.begin(), kSigns.end(), [&](const auto& entry) {
      return tokens_.is_sign(entry.first);
    });
    if (found == kSigns.end()) return left;
    const int line = tokens_.take().line;
    left = make(line, Binary{found->second, std::move(left), power()});
  }
}

// From left to right, unlike in Python.
ExpressionPtr ExpressionParser::power() {
  ExpressionPtr left = unary(true);
  while (tokens_.is_sign("**")) {
    const int line = tokens_.take().line;
    left = make(line, Binary{Arithmetic::power, std::move(left), unary(true)});
  }
  return left;
}

// A sign binds closer than filters: -1|abs is (-1)|abs.
ExpressionPtr ExpressionParser::unary(bool with_filters) {
  const DepthGuard guard(depth_, kMaximumSyntaxDepth, tokens_);
  const int line = tokens_.current().line;
  ExpressionPtr value;
  if (tokens_.take_sign("-")) {
    value = make(line, Unary{Unary::Operation::minus, unary(false)});
  } else if (tokens_.take_sign("+")) {
    value = make(line, Unary{Unary::Operation::plus, unary(false)});
  } else {
    value = primary();
  }
  value = postfix(std::move(value));
  return with_filters ? filters_and_tests(std::move(value)) : std::move(value);
}

ExpressionPtr ExpressionParser::primary() {
  const Token token = tokens_.current();
  switch (token.kind) {
    case Kind::name:
      tokens_.take();
      return named_primary(token);
    case Kind::string:
      return string(token);
    case Kind::integer:
      tokens_.take();
      return integer(token);
    case Kind::real:
      tokens_.take();
      return make(token.line, Constant{Value::real(parse_real(token.text).value_or(0))});
    default:
      break;
  }
  if (tokens_.take_sign("(")) return parenthesised(token.line);
  if (tokens_.take_sign("[")) return list(token.line);
  if (tokens_.take_sign("{")) return dict(token.line);
  throw tokens_.unexpected("an expression");
}

ExpressionPtr ExpressionParser::named_primary(const Token& token) {
  const std::string& name = token.text;
  if (name == "true" || name == "True") return make(token.line, Constant{Value::boolean(true)});
  if (name == "false" || name == "False") return make(token.line, Constant{Value::boolean(false)});
  if (name == "none" || name == "None") return make(token.line, Constant{Value()});
  return make(token.line, Name{name});
}

// Strings side by side are one.
ExpressionPtr ExpressionParser::string(const Token& token) {
  std::string text;
  while (tokens_.is(Kind::string)) text += tokens_.take().text;
  return make(token.line, Constant{make_literal(std::move(text))});
}

ExpressionPtr ExpressionParser::integer(const Token& token) {
  const auto value = parse_integer(token.text, 0);
  if (!value) throw bad_input("line {}: {} needs more than 63 bits", token.line, token.text);
  return make(token.line, Constant{Value::integer(*value)});
}

ExpressionPtr ExpressionParser::parenthesised(int line) {
  if (tokens_.take_sign(")")) return make(line, ListDisplay{{}, true});
  ExpressionPtr value = tuple();
  tokens_.expect_sign(")");
  return value;
}

ExpressionPtr ExpressionParser::list(int line) {
  ListDisplay made{{}, false};
  while (!tokens_.take_sign("]")) {
    if (!made.items.empty()) {
      tokens_.expect_sign(",");
      if (tokens_.take_sign("]")) break;
    }
    made.items.push_back(expression());
  }
  return make(line, std::move(made));
}

ExpressionPtr ExpressionParser::dict(int line) {
  DictDisplay made;
  while (!tokens_.take_sign("}")) {
    if (!made.entries.empty()) {
      tokens_.expect_sign(",");
      if (tokens_.take_sign("}")) break;
    }
    ExpressionPtr key = expression();
    tokens_.expect_sign(":");
    made.entries.emplace_back(std::move(key), expression());
  }
  return make(line, std::move(made));
}

ExpressionPtr ExpressionParser::postfix(ExpressionPtr value) {
  for (;;) {
    if (tokens_.is_sign(".")) {
      value = attribute(std::move(value));
    } else if (tokens_.is_sign("[")) {
      value = subscript(std::move(value));
    } else if (tokens_.is_sign("(")) {
      value = call(std::move(value));
    } else {
      return value;
    }
  }
}

ExpressionPtr ExpressionParser::filters_and_tests(ExpressionPtr value) {
  for (;;) {
    if (tokens_.take_sign("|")) {
      value = filter(std::move(value));
    } else if (tokens_.take_name("is")) {
      value = test(std::move(value));
    } else if (tokens_.is_sign("(")) {
      value = call(std::move(value));
    } else {
      return value;
    }
  }
}

std::string ExpressionParser::dotted_name() {
  std::string name = tokens_.expect_any_name();
  while (tokens_.take_sign(".")) name += fmt::format(".{}", tokens_.expect_any_name());
  return name;
}

ExpressionPtr ExpressionParser::filter(ExpressionPtr value) {
  const int line = tokens_.current().line;
  std::string name = dotted_name();
  CallArguments given = tokens_.is_sign("(") ? arguments() : CallArguments();
  return make(line, FilterCall{std::move(name), std::move(value), std::move(given)});
}

// A test may have one argument without parentheses.
bool ExpressionParser::begins_test_argument() const {
  switch (tokens_.current().kind) {
    case Kind::string:
    case Kind::integer:
    case Kind::real:
      return true;
    case Kind::name:
      return !tokens_.is_name("else") && !tokens_.is_name("or") && !tokens_.is_name("and");
    default:
      return tokens_.is_sign("[") || tokens_.is_sign("{");
  }
}

ExpressionPtr ExpressionParser::test(ExpressionPtr value) {
  const int line = tokens_.current().line;
  const bool negated = tokens_.take_name("not");
  std::string name = dotted_name();
  CallArguments given;
  if (tokens_.is_sign("(")) {
    given = arguments();
  } else if (begins_test_argument()) {
    if (tokens_.is_name("is")) throw tokens_.error("tests cannot be chained");
    const DepthGuard guard(depth_, kMaximumSyntaxDepth, tokens_);
    given.positional.push_back(postfix(primary()));
  }
  ExpressionPtr made = make(line, TestCall{std::move(name), std::move(value), std::move(given)});
  if (!negated) return made;
  return make(line, Unary{Unary::Operation::logical_not, std::move(made)});
}

ExpressionPtr ExpressionParser::attribute(ExpressionPtr value) {
  const int line = tokens_.take().line;
  if (tokens_.is(Kind::integer)) {
    const Token token = tokens_.take();
    return make(line, Item{std::move(value), integer(token)});
  }
  return make(line, Attribute{std::move(value), tokens_.expect_any_name()});
}

ExpressionPtr ExpressionParser::subscript(ExpressionPtr value) {
  const int line = tokens_.take().line;
  if (tokens_.take_sign(":")) return slice(std::move(value), nullptr, line);
  ExpressionPtr key = expression();
  if (tokens_.take_sign(":")) return slice(std::move(value), std::move(key), line);
  if (tokens_.is_sign(",")) throw tokens_.error("a subscript of several items is not supported");
  tokens_.expect_sign("]");
  return make(line, Item{std::move(value), std::move(key)});
}

ExpressionPtr ExpressionParser::slice(ExpressionPtr value, ExpressionPtr start, int line) {
  Slice made{std::move(value), std::move(start), nullptr, nullptr};
  if (!tokens_.is_sign(":") && !tokens_.is_sign("]")) made.stop = expression();
  if (tokens_.take_sign(":") && !tokens_.is_sign("]")) made.step = expression();
  tokens_.expect_sign("]");
  return make(line, std::move(made));
}

CallArguments ExpressionParser::arguments() {
  CallArguments made;
  tokens_.expect_sign("(");
  for (bool first = true; !tokens_.take_sign(")"); first = false) {
    if (!first) {
      tokens_.expect_sign(",");
      if (tokens_.take_sign(")")) break;
    }
    if (tokens_.is_sign("*") || tokens_.is_sign("**")) {
      throw tokens_.error("arguments by * and ** are not supported");
    }
    const bool named =
        tokens_.is(Kind::name) && tokens_.next().kind == Kind::sign && tokens_.next().text == "=";
    if (named) {
      std::string name = tokens_.take().text;
      tokens_.take();
      made.named.emplace_back(std::move(name), expression());
    } else if (!made.named.empty()) {
      throw tokens_.error("a positional argument stands behind a named one");
    } else {
      made.positional.push_back(expression());
    }
  }
  return made;
}

ExpressionPtr ExpressionParser::call(ExpressionPtr function) {
  const int line = tokens_.current().line;
  return make(line, Call{std::move(function), arguments()});
}

ExpressionPtr ExpressionParser::call_expression() {
  ExpressionPtr made = expression();
  if (!std::holds_alternative<Call>(made->node)) throw tokens_.error("a call is expected");
  return made;
}

ExpressionPtr ExpressionParser::block_filters(bool leading) {
  ExpressionPtr value;
  if (!leading) value = filter(nullptr);
  while (tokens_.take_sign("|")) value = filter(std::move(value));
  return value;
}

Target ExpressionParser::single_target(bool attributes) {
  if (tokens_.take_sign("(")) {
    Target made = target(attributes);
    tokens_.expect_sign(")");
    return made;
  }
  Target made;
  made.name = tokens_.expect_any_name();
  constexpr std::array<std::string_view, 6> kConstants{"true", "false", "none",
                                                       "True", "False", "None"};
  if (std::count(kConstants.begin(), kConstants.end(), made.name) > 0) {
    throw tokens_.error(fmt::format("'{}' cannot be assigned to", made.name));
  }
  if (attributes && tokens_.take_sign(".")) made.attribute = tokens_.expect_any_name();
  return made;
}

Target ExpressionParser::target(bool attributes) {
  const DepthGuard guard(depth_, kMaximumSyntaxDepth, tokens_);
  Target first = single_target(attributes);
  if (!tokens_.is_sign(",")) return first;
  Target made;
  made.parts.push_back(std::move(first));
  while (tokens_.take_sign(",")) {
    if (!tokens_.is(Kind::name) && !tokens_.is_sign("(")) break;
    if (tokens_.is_name("in")) break;
    made.parts.push_back(single_target(attributes));
  }
  return made;
}

}  // namespace terse::chat
