// The tokens of a template as a parser reads them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "terse/chat/template_lexer.h"
#include "terse/core/error.h"

namespace terse::chat {

class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& next() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token take() { return at_ + 1 < tokens_.size() ? tokens_[at_++] : tokens_[at_]; }

  bool is(Token::Kind kind) const { return current().kind == kind; }
  bool is_sign(std::string_view sign) const {
    return is(Token::Kind::sign) && current().text == sign;
  }
  bool is_name(std::string_view name) const {
    return is(Token::Kind::name) && current().text == name;
  }
  bool take_sign(std::string_view sign) { return is_sign(sign) && (take(), true); }
  bool take_name(std::string_view name) { return is_name(name) && (take(), true); }

  /// Errors: bad_input that says the line, what was expected and what is there.
  void expect_sign(std::string_view sign);
  void expect_name(std::string_view name);
  void expect(Token::Kind kind, std::string_view what);
  std::string expect_any_name();
  Error unexpected(std::string_view expected) const;
  Error error(std::string_view what) const;

 private:
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
};

/// Bounds how deep a parser calls itself.
class DepthGuard {
 public:
  DepthGuard(std::size_t& depth, std::size_t most, const TokenStream& tokens) : depth_(depth) {
    if (++depth_ > most) throw tokens.error("the template is nested too deep");
  }
  ~DepthGuard() { --depth_; }
  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;

 private:
  std::size_t& depth_;
};

}  // namespace terse::chat
