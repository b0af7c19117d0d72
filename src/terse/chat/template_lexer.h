// Cuts the text of a template into tokens, as Jinja does with trim_blocks and lstrip_blocks on and
// keep_trailing_newline off.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace terse::chat {

struct Token {
  enum class Kind {
    text,
    expression_begin,  // {{
    expression_end,
    block_begin,  // {%
    block_end,
    name,
    string,   // its value
    integer,  // without underscores
    real,
    sign,  // an operator or a bracket
    end
  };
  Kind kind;
  std::string text;
  int line;  // from 1
};

/// The tokens, with one of kind `end` behind them. Errors: bad_input that names the line.
std::vector<Token> lex(std::string_view source);

}  // namespace terse::chat
