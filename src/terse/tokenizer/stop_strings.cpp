#include "terse/tokenizer/stop_strings.h"

#include <algorithm>
#include <utility>

namespace terse {

// Bytes at the end of what is held that one of the strings may begin with.
std::size_t StopStrings::begun() const {
  std::size_t longest = 0;
  for (const std::string& each : strings_) {
    for (std::size_t size = std::min(each.size() - 1, held_.size()); size > longest; --size) {
      if (held_.ends_with(std::string_view(each).substr(0, size))) longest = size;
    }
  }
  return longest;
}

std::string StopStrings::push(std::string_view piece) {
  if (found_) return "";
  held_ += piece;
  std::size_t begin = std::string::npos;
  std::size_t end = std::string::npos;
  for (const std::string& each : strings_) {
    const std::size_t at = held_.find(each);
    if (at == std::string::npos) continue;
    const std::size_t behind = at + each.size();
    if (behind < end || (behind == end && at < begin)) {
      begin = at;
      end = behind;
      found_ = each;
    }
  }
  const std::size_t certain = found_ ? begin : held_.size() - begun();
  std::string text = held_.substr(0, certain);
  held_.erase(0, certain);
  return text;
}

std::string StopStrings::finish() {
  return found_ ? "" : std::exchange(held_, "");
}

}  // namespace terse
