// YAML read from texts that nobody vouches for: values as they are written, each with its place.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "terse/core/error.h"

namespace terse {

/// Counted from 0; columns in bytes.
struct TextPosition {
  int line = 0;
  int column = 0;
};

/// A text and the name that errors call it by.
struct SourceText {
  std::string_view text;
  std::string name;

  /// A bad_input "name:line:column: message", both counted from 1, columns in characters.
  Error error(TextPosition at, std::string_view message) const;
};

struct YamlNode {
  enum class Kind { null, scalar, sequence, mapping };

  Kind kind = Kind::null;
  TextPosition position;         ///< That of its key, for a null in a mapping.
  std::string text = {};         ///< Of a scalar, without quotes.
  std::vector<YamlNode> keys;    ///< Of a mapping: scalars, each once, in the order of the text.
  std::vector<YamlNode> values;  ///< Of a mapping, beside its keys; or of a sequence.
};

/// "a list", "the value 'x'": for messages.
std::string describe(const YamlNode& node);

/// The only document of a text; null when there is nothing in it. Errors (bad_input, as
/// SourceText::error): longer than 1 MiB, no UTF-8, control characters, no YAML, nested deeper than
/// 16 levels, a key given twice or that is no scalar, anchors, aliases and tags.
YamlNode parse_yaml(const SourceText& source);

}  // namespace terse
