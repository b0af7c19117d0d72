// Strings that end a text while it is being written.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace terse {

/// Cuts a text that comes in pieces before the first of some strings. The first is the one that is
/// complete first, of those the longest: so the cut does not depend on how the text is cut into
/// pieces.
class StopStrings {
 public:
  /// None is empty; there may be none at all.
  explicit StopStrings(std::vector<std::string> strings) : strings_(std::move(strings)) {}

  /// The text that is certain to stand before any of the strings: what could be the beginning of
  /// one is held back. Nothing more comes after one was found.
  std::string push(std::string_view piece);

  /// What was held back, when the text ends without one of the strings.
  std::string finish();

  /// The string that was found.
  const std::optional<std::string>& found() const { return found_; }

 private:
  std::size_t begun() const;

  std::vector<std::string> strings_;
  std::string held_;
  std::optional<std::string> found_;
};

}  // namespace terse
