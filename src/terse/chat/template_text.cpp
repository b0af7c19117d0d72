#include "terse/chat/template_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "terse/chat/code_points.h"
#include "terse/core/error.h"

namespace terse::chat {
namespace {

// What repr() writes for a character; empty for one that it shows.
std::string escaped(char32_t character, char quote) {
  const auto code = static_cast<std::uint32_t>(character);
  if (code == '\\' || code == static_cast<unsigned char>(quote))
    return {'\\', static_cast<char>(code)};
  if (is_printable(character)) return {};
  if (code == '\n') return "\\n";
  if (code == '\r') return "\\r";
  if (code == '\t') return "\\t";
  if (code < 0x100) return fmt::format("\\x{:02x}", code);
  if (code < 0x10000) return fmt::format("\\u{:04x}", code);
  return fmt::format("\\U{:08x}", code);
}

void append_quoted(BoundedText& out, std::string_view text) {
  const bool single = text.find('\'') != std::string_view::npos;
  const char quote = single && text.find('"') == std::string_view::npos ? '"' : '\'';
  out.append(1, quote);
  append_escaping(out, text, [quote](char32_t character) { return escaped(character, quote); });
  out.append(1, quote);
}

void append_items(BoundedText& out, const Values& items) {
  bool first = true;
  for (const Value& item : items) {
    if (!first) out.append(", ");
    first = false;
    append_repr(out, item);
  }
}

void append_sequence(BoundedText& out, const Sequence& sequence, std::string_view type) {
  switch (sequence.form) {
    case Sequence::Form::list:
      out.append("[");
      append_items(out, sequence.items);
      return out.append("]");
    case Sequence::Form::tuple:
      out.append("(");
      append_items(out, sequence.items);
      return out.append(sequence.items.size() == 1 ? ",)" : ")");
    case Sequence::Form::keys:
    case Sequence::Form::values:
    case Sequence::Form::items:
      out.append(type);
      out.append("([");
      append_items(out, sequence.items);
      return out.append("])");
    default:
      throw bad_input("a value of type {} has no text; the filter `list` makes it one", type);
  }
}

void append_dict(BoundedText& out, const Dict& dict) {
  out.append("{");
  bool first = true;
  for (const auto& [key, value] : dict.entries()) {
    if (!first) out.append(", ");
    first = false;
    append_repr(out, key);
    out.append(": ");
    append_repr(out, value);
  }
  out.append("}");
}

}  // namespace

std::string real_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::array<char, 64> digits;
  const double size = std::abs(value);
  const bool plain = size == 0 || (size >= 1e-4 && size < 1e16);
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value,
                                 plain ? std::chars_format::fixed : std::chars_format::scientific);
  std::string text(digits.data(), end.ptr);
  if (plain && text.find('.') == std::string::npos) text += ".0";
  return text;
}

void append_text(BoundedText& out, const Value& value) {
  if (value.is(Value::Kind::undefined)) return;
  if (value.is_string()) return out.append(value.string());
  append_repr(out, value);
}

void append_repr(BoundedText& out, const Value& value) {
  switch (value.kind()) {
    case Value::Kind::undefined:
      return out.append("Undefined");
    case Value::Kind::none:
      return out.append("None");
    case Value::Kind::boolean:
      return out.append(value.as_boolean() ? "True" : "False");
    case Value::Kind::integer:
      return out.append(std::to_string(value.as_integer()));
    case Value::Kind::real:
      return out.append(real_text(value.as_real()));
    case Value::Kind::string:
      return append_quoted(out, value.string());
    case Value::Kind::sequence:
      return append_sequence(out, value.sequence(), value.type());
    case Value::Kind::dict:
      return append_dict(out, value.dict());
    default:
      throw bad_input("a value of type {} has no text", value.type());
  }
}

std::string text_of(Heap& heap, const Value& value) {
  BoundedText out(heap);
  append_text(out, value);
  return out.release();
}

}  // namespace terse::chat
