// The text of values: Python's str() and repr().
#pragma once

#include <string>
#include <string_view>

#include "terse/chat/code_points.h"
#include "terse/chat/template_value.h"

namespace terse::chat {

/// Python's repr of a float: the fewest digits that read back as the same number.
std::string real_text(double value);

/// `text` with every character for which `escaped(code point)` is a text, and not empty, replaced.
template <class Escaped>
void append_escaping(BoundedText& out, std::string_view text, const Escaped& escaped) {
  out.heap().work(text.size() / 16);
  std::size_t plain = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t next = at + character_bytes(text, at);
    if (const std::string instead = escaped(code_point_at(text, at)); !instead.empty()) {
      out.append(text.substr(plain, at - plain));
      out.append(instead);
      plain = next;
    }
    at = next;
  }
  out.append(text.substr(plain));
}

/// Python's str(): what {{ }} writes. Errors: bad_input for what Python would write with an address
/// in memory (iterators, functions).
void append_text(BoundedText& out, const Value& value);
void append_repr(BoundedText& out, const Value& value);
std::string text_of(Heap& heap, const Value& value);

}  // namespace terse::chat
