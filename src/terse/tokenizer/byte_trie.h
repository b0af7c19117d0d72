// A set of byte strings with an id each, for finding all that begin at one place of a text.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "terse/tokenizer/flat_map.h"

namespace terse {

class ByteTrie {
 public:
  ByteTrie() { first_.fill(0); }

  /// `text` must not be empty; a later id replaces an earlier one.
  void insert(std::string_view text, std::int32_t id) {
    std::uint32_t node = 0;
    for (const char character : text) node = child_or_new(node, byte_of(character));
    ids_[node] = id;
  }

  bool empty() const { return ids_.size() == 1; }
  bool begins_with(char character) const { return first_[byte_of(character)] != 0; }

  /// Calls `body(length, id)` for every string of the set that is a prefix of `text`, the shortest
  /// first.
  template <class Body>
  void for_each_prefix(std::string_view text, Body&& body) const {
    if (text.empty()) return;
    std::uint32_t node = first_[byte_of(text[0])];
    for (std::size_t length = 1; node != 0; ++length) {
      if (ids_[node] >= 0) body(length, ids_[node]);
      if (length == text.size()) return;
      const std::uint64_t* next = children_.find(key(node, byte_of(text[length])));
      node = next == nullptr ? 0 : static_cast<std::uint32_t>(*next);
    }
  }

 private:
  static unsigned char byte_of(char character) { return static_cast<unsigned char>(character); }
  static std::uint64_t key(std::uint32_t node, unsigned char byte) {
    return (static_cast<std::uint64_t>(node) << 8U) | byte;
  }

  std::uint32_t child_or_new(std::uint32_t node, unsigned char byte) {
    if (node == 0 && first_[byte] != 0) return first_[byte];
    if (const std::uint64_t* child = node == 0 ? nullptr : children_.find(key(node, byte))) {
      return static_cast<std::uint32_t>(*child);
    }
    const auto added = static_cast<std::uint32_t>(ids_.size());
    ids_.push_back(-1);
    if (node == 0) {
      first_[byte] = added;
    } else {
      children_.insert(key(node, byte), added);
    }
    return added;
  }

  std::array<std::uint32_t, 256> first_{};
  FlatMap children_;
  std::vector<std::int32_t> ids_{-1};  // by node; node 0 is the root
};

}  // namespace terse
