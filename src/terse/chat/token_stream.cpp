#include "terse/chat/token_stream.h"

namespace terse::chat {
namespace {

std::string shown(const Token& token) {
  switch (token.kind) {
    case Token::Kind::end:
      return "the end of the template";
    case Token::Kind::expression_end:
      return "'}}'";
    case Token::Kind::block_end:
      return "'%}'";
    case Token::Kind::string:
      return "a string";
    case Token::Kind::text:
    case Token::Kind::expression_begin:
    case Token::Kind::block_begin:
      return "what comes behind the block";
    default:
      return fmt::format("'{}'", token.text.substr(0, 60));
  }
}

}  // namespace

Error TokenStream::error(std::string_view what) const {
  return bad_input("line {}: {}", current().line, what);
}

Error TokenStream::unexpected(std::string_view expected) const {
  return error(fmt::format("expected {}, found {}", expected, shown(current())));
}

void TokenStream::expect_sign(std::string_view sign) {
  if (!take_sign(sign)) throw unexpected(fmt::format("'{}'", sign));
}

void TokenStream::expect_name(std::string_view name) {
  if (!take_name(name)) throw unexpected(fmt::format("'{}'", name));
}

void TokenStream::expect(Token::Kind kind, std::string_view what) {
  if (!is(kind)) throw unexpected(what);
  take();
}

std::string TokenStream::expect_any_name() {
  if (!is(Token::Kind::name)) throw unexpected("a name");
  return take().text;
}

}  // namespace terse::chat
