// Regular expressions of tokenizer files, matched by PCRE2 (UTF, Unicode properties, JIT).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct pcre2_real_code_8;

namespace terse {

/// A part of a text, in bytes.
struct Range {
  std::size_t begin;
  std::size_t end;
  bool operator==(const Range&) const = default;
};

/// A compiled pattern of Oniguruma's Ruby dialect, which Hugging Face tokenizers use. Safe to share
/// between threads.
class Regex {
 public:
  /// Errors: bad_input naming the pattern when it is malformed, longer than 65536 bytes, or uses
  /// what PCRE2 would read otherwise (see translate_oniguruma).
  explicit Regex(std::string_view pattern);

  /// Appends the matches in `text`, which must be UTF-8, from left to right; an empty match right
  /// after a match does not count. Errors: failed when a match takes more steps or memory than
  /// is allowed.
  void find_all(std::string_view text, std::vector<Range>& matches) const;

 private:
  bool find(std::string_view text, std::size_t from, Range& match) const;

  std::string pattern_;
  std::shared_ptr<const pcre2_real_code_8> code_;
};

/// The pattern in PCRE2's dialect: `\s`, `\w`, `\b`, `\h` and `\v` mean other sets there, `{,n}` is
/// no quantifier, and `(?m)` has another name. Errors: bad_input for what has no equal: nested and
/// intersected classes, `\W` and `\H` inside a class, `{n}?`, `{n,m}+`, `(*VERB)`, `\Q`, and bytes
/// by `\x80` to `\xff`.
std::string translate_oniguruma(std::string_view pattern);

}  // namespace terse
