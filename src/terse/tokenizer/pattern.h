// What a text is split at or replaced: a literal string or a regex, as Split and Replace have it.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "terse/core/json.h"
#include "terse/tokenizer/regex.h"

namespace terse {

class Pattern {
 public:
  /// Reads key `pattern` of `part`: {"String": text} or {"Regex": text}. Errors: bad_input, also
  /// for an empty String.
  static Pattern read(const Json& part);

  explicit Pattern(Regex regex) : what_(std::move(regex)) {}
  explicit Pattern(std::string literal) : what_(std::move(literal)) {}

  /// Appends the matches in `text`, from left to right, without overlaps.
  void find_all(std::string_view text, std::vector<Range>& matches) const;

  /// `text` with every match replaced by `content`. Errors: failed when it grows out of bounds.
  std::string replace_all(std::string_view text, std::string_view content) const;

 private:
  std::variant<std::string, Regex> what_;
};

}  // namespace terse
