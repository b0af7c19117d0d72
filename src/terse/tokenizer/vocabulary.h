// Tokens and their ids.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "terse/core/json.h"

namespace terse {

class Vocabulary {
 public:
  /// Errors: bad_input when the id has a token already. A token may have several ids; the last
  /// one is found.
  void add(std::string token, std::int32_t id);

  std::optional<std::int32_t> find(std::string_view token) const;
  /// The token of an id, or nullptr.
  const std::string* token(std::int32_t id) const;
  /// The number of ids.
  std::size_t size() const { return tokens_.size(); }
  /// For every pair, in no particular order.
  const std::unordered_map<std::int32_t, std::string>& tokens() const { return tokens_; }

 private:
  std::unordered_map<std::int32_t, std::string> tokens_;
  std::unordered_map<std::string_view, std::int32_t> ids_;  // views of tokens_, whose nodes stay
};

/// The largest id that is allowed.
inline constexpr std::int64_t kMaximumId = 0x7ffffffe;

/// An id from JSON: `value` must be an integer from 0 to kMaximumId. `owner` names what it
/// belongs to. Errors: bad_input.
std::int32_t to_id(const Json& value, std::string_view owner);

/// "<0x0A>": the token that stands for a byte in vocabularies with byte fallback.
std::string byte_token(unsigned char byte);

}  // namespace terse
