#include "terse/chat/template_parser.h"

#include <algorithm>
#include <initializer_list>

#include "terse/chat/expression_parser.h"
#include "terse/chat/template_lexer.h"
#include "terse/chat/token_stream.h"

namespace terse::chat {
namespace {

using Kind = Token::Kind;

class Parser {
 public:
  explicit Parser(std::string_view source) : tokens_(lex(source)), expressions_(tokens_) {}

  Body run() {
    Body body = read_body({});
    if (!tokens_.is(Kind::end)) {
      throw tokens_.error(fmt::format("unexpected '{}'", tokens_.current().text));
    }
    return body;
  }

 private:
  // Statements up to a block whose name is one of `ends`; its name is left to be read.
  Body read_body(std::initializer_list<std::string_view> ends) {
    const DepthGuard guard(depth_, kMaximumSyntaxDepth / 2, tokens_);
    Body body;
    while (!tokens_.is(Kind::end)) {
      const Token token = tokens_.take();
      switch (token.kind) {
        case Kind::text:
          body.push_back({TextOutput{token.text}, token.line});
          break;
        case Kind::expression_begin:
          body.push_back({Output{expressions_.tuple()}, token.line});
          tokens_.expect(Kind::expression_end, "'}}'");
          break;
        default:  // a block
          if (ends_body(ends)) return body;
          body.push_back(statement(token.line));
      }
    }
    if (ends.size() > 0) throw tokens_.unexpected(fmt::format("'{}'", *(ends.end() - 1)));
    return body;
  }

  // An end that no block here waits for is an error of whoever reads a statement there.
  bool ends_body(std::initializer_list<std::string_view> ends) const {
    return tokens_.is(Kind::name) &&
           std::find(ends.begin(), ends.end(), tokens_.current().text) != ends.end();
  }

  void end_block() { tokens_.expect(Kind::block_end, "'%}'"); }

  // A body and the block that ends it.
  Body read_block(std::string_view end) {
    end_block();
    Body body = read_body({end});
    tokens_.expect_name(end);
    end_block();
    return body;
  }

  Statement statement(int line) {
    const Token name = tokens_.current();
    if (name.kind != Kind::name) throw tokens_.unexpected("the name of a statement");
    tokens_.take();
    if (name.text == "if") return {read_if(), line};
    if (name.text == "for") return {read_for(), line};
    if (name.text == "set") return read_set(line);
    if (name.text == "macro") return {read_macro(), line};
    if (name.text == "call") return {read_call(), line};
    if (name.text == "filter") return {read_filter(), line};
    if (name.text == "with") return {read_with(), line};
    if (name.text == "generation") return {Group{read_block("endgeneration")}, line};
    if (name.text == "break" || name.text == "continue") return read_jump(name.text, line);
    throw bad_input("line {}: the statement '{}' is unknown here", line, name.text.substr(0, 60));
  }

  If read_if() {
    If made;
    ExpressionPtr condition = expressions_.tuple(false);
    for (;;) {
      end_block();
      made.branches.push_back({std::move(condition), read_body({"elif", "else", "endif"})});
      condition = nullptr;
      if (tokens_.take_name("elif")) {
        condition = expressions_.tuple(false);
      } else if (tokens_.take_name("else")) {
        made.branches.push_back({nullptr, read_block("endif")});
        return made;
      } else {
        tokens_.expect_name("endif");
        end_block();
        return made;
      }
    }
  }

  For read_for() {
    For made;
    made.target = expressions_.target(false);
    tokens_.expect_name("in");
    made.items = expressions_.tuple(false);
    if (tokens_.is_name("recursive")) throw tokens_.error("recursive loops are not supported");
    if (tokens_.take_name("if")) made.condition = expressions_.expression();
    if (tokens_.is_name("recursive")) throw tokens_.error("recursive loops are not supported");
    end_block();
    ++loops_;
    made.body = read_body({"else", "endfor"});
    --loops_;
    if (tokens_.take_name("else")) {
      made.otherwise = read_block("endfor");
    } else {
      tokens_.expect_name("endfor");
      end_block();
    }
    return made;
  }

  Statement read_set(int line) {
    Target target = expressions_.target(true);
    if (tokens_.take_sign("=")) {
      Set made{std::move(target), expressions_.tuple()};
      end_block();
      return {std::move(made), line};
    }
    ExpressionPtr filter = expressions_.block_filters(true);
    return {CapturedBlock{std::move(target), std::move(filter), read_block("endset")}, line};
  }

  std::vector<Parameter> read_parameters() {
    std::vector<Parameter> made;
    tokens_.expect_sign("(");
    while (!tokens_.take_sign(")")) {
      if (!made.empty()) tokens_.expect_sign(",");
      std::string name = tokens_.expect_any_name();
      ExpressionPtr absent = tokens_.take_sign("=") ? expressions_.expression() : nullptr;
      if (absent == nullptr && !made.empty() && made.back().absent != nullptr) {
        throw tokens_.error("a parameter without a default stands behind one with it");
      }
      made.push_back({std::move(name), std::move(absent)});
    }
    return made;
  }

  // Break and continue reach no loop around a macro.
  Body read_detached_block(std::string_view end) {
    const std::size_t loops = std::exchange(loops_, 0);
    Body body = read_block(end);
    loops_ = loops;
    return body;
  }

  Macro read_macro() {
    Macro made;
    made.name = tokens_.expect_any_name();
    made.parameters = read_parameters();
    made.body = read_detached_block("endmacro");
    return made;
  }

  CallBlock read_call() {
    CallBlock made;
    made.caller.name = "caller";
    if (tokens_.is_sign("(")) made.caller.parameters = read_parameters();
    made.call = expressions_.call_expression();
    made.caller.body = read_detached_block("endcall");
    return made;
  }

  CapturedBlock read_filter() {
    ExpressionPtr filter = expressions_.block_filters(false);
    return {std::nullopt, std::move(filter), read_block("endfilter")};
  }

  With read_with() {
    With made;
    while (!tokens_.is(Kind::block_end)) {
      if (!made.values.empty()) tokens_.expect_sign(",");
      Target target = expressions_.target(false);
      tokens_.expect_sign("=");
      made.values.emplace_back(std::move(target), expressions_.expression());
    }
    made.body = read_block("endwith");
    return made;
  }

  Statement read_jump(const std::string& name, int line) {
    if (loops_ == 0) throw bad_input("line {}: {} stands outside of a loop", line, name);
    end_block();
    if (name == "break") return {Break{}, line};
    return {Continue{}, line};
  }

  TokenStream tokens_;
  ExpressionParser expressions_;
  std::size_t depth_ = 0;
  std::size_t loops_ = 0;
};

}  // namespace

Body parse_template(std::string_view source) {
  return Parser(source).run();
}

}  // namespace terse::chat
