// A hash table from 64-bit keys to 64-bit values in one array: the inner loops of tokenization are
// look-ups in it.
#pragma once

#include <cstdint>
#include <vector>

namespace terse {

class FlatMap {
 public:
  /// Sets the value of a key; the key of all ones is not allowed.
  void insert(std::uint64_t key, std::uint64_t value) {
    if ((size_ + 1) * 2 > slots_.size()) grow();
    Slot& slot = slots_[place_of(key)];
    size_ += slot.key == kEmpty ? 1 : 0;
    slot = {key, value};
  }

  /// The value of a key, or nullptr.
  const std::uint64_t* find(std::uint64_t key) const {
    if (slots_.empty()) return nullptr;
    const Slot& slot = slots_[place_of(key)];
    return slot.key == key ? &slot.value : nullptr;
  }

  std::size_t size() const { return size_; }

 private:
  struct Slot {
    std::uint64_t key;
    std::uint64_t value;
  };
  static constexpr std::uint64_t kEmpty = ~0ULL;

  // Where the key is, or the empty slot where it would go. Fibonacci hashing: the best bits of the
  // product are its highest.
  std::size_t place_of(std::uint64_t key) const {
    std::size_t place = ((key ^ (key >> 32U)) * 0x9e3779b97f4a7c15ULL) >> shift_;
    while (slots_[place].key != key && slots_[place].key != kEmpty) {
      place = (place + 1) & (slots_.size() - 1);
    }
    return place;
  }

  void grow() {
    std::vector<Slot> old(slots_.empty() ? 16 : slots_.size() * 2, Slot{kEmpty, 0});
    old.swap(slots_);
    shift_ = old.empty() ? 60 : shift_ - 1;
    for (const Slot& slot : old) {
      if (slot.key != kEmpty) slots_[place_of(slot.key)] = slot;
    }
  }

  std::vector<Slot> slots_;
  std::size_t size_ = 0;
  unsigned shift_ = 0;
};

}  // namespace terse
