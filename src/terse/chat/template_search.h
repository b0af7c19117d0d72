// Finding a text in another in time that grows with their lengths, not with their product.
#pragma once

#include <cstring>
#include <string_view>

namespace terse::chat {

/// Where `what` begins at or after `from`; npos when nowhere. `from` is at most the text's size.
inline std::size_t find_bytes(std::string_view text, std::string_view what, std::size_t from) {
  if (what.empty()) return from;
  const void* found = memmem(text.data() + from, text.size() - from, what.data(), what.size());
  if (found == nullptr) return std::string_view::npos;
  return static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
}

}  // namespace terse::chat
