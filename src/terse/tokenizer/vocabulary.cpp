#include "terse/tokenizer/vocabulary.h"

#include "terse/core/error.h"

namespace terse {

void Vocabulary::add(std::string token, std::int32_t id) {
  const auto [entry, is_new] = tokens_.try_emplace(id, std::move(token));
  if (!is_new) {
    throw bad_input("id {} belongs to two tokens, '{}' and '{}'", id, entry->second, token);
  }
  ids_[entry->second] = id;
}

std::optional<std::int32_t> Vocabulary::find(std::string_view token) const {
  const auto found = ids_.find(token);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

const std::string* Vocabulary::token(std::int32_t id) const {
  const auto found = tokens_.find(id);
  return found == tokens_.end() ? nullptr : &found->second;
}

std::int32_t to_id(const Json& value, std::string_view owner) {
  const bool fits = value.is_number_integer() &&
                    (value.is_number_unsigned() ? value.get<std::uint64_t>() <= kMaximumId
                                                : value.get<std::int64_t>() >= 0 &&
                                                      value.get<std::int64_t>() <= kMaximumId);
  if (!fits) {
    throw bad_input("{}: expected an id from 0 to {}, found {}", owner, kMaximumId,
                    value.is_number() ? value.dump() : value.type_name());
  }
  return value.get<std::int32_t>();
}

std::string byte_token(unsigned char byte) {
  return fmt::format("<0x{:02X}>", byte);
}

}  // namespace terse
