// Regular expressions on names of modules and tensors, from files that nobody vouches for.
#pragma once

#include <memory>
#include <string_view>

struct pcre2_real_code_8;

namespace terse {

/// A compiled expression of PCRE2 (UTF). Safe to share between threads.
class NamePattern {
 public:
  enum class Anchor {
    start,  ///< Matches from the start of a name, as Python's re.match does.
    none    ///< Matches somewhere in a name, as re.search does.
  };

  /// Errors: bad_input when it is no regular expression.
  NamePattern(std::string_view pattern, Anchor anchor);

  /// Errors: bad_input when a match takes more steps or memory than is allowed.
  bool matches(std::string_view name) const;

 private:
  std::shared_ptr<const pcre2_real_code_8> code_;
};

}  // namespace terse
