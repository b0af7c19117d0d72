#include "terse/tokenizer/word_cache.h"

#include <cstring>

namespace terse {
namespace {

constexpr std::size_t kMostWords = std::size_t{1} << 17;

std::uint64_t hash_of(std::string_view word) {
  constexpr std::uint64_t kFactor = 0x9e3779b97f4a7c15ULL;
  std::uint64_t hash = word.size() * kFactor;
  const char* at = word.data();
  std::size_t left = word.size();
  for (; left > 8; left -= 8, at += 8) {
    std::uint64_t part = 0;
    std::memcpy(&part, at, 8);
    hash = (hash ^ part) * kFactor;
    hash ^= hash >> 32U;
  }
  std::uint64_t part = 0;
  std::memcpy(&part, at, left);
  hash = (hash ^ part) * kFactor;
  return hash ^ (hash >> 32U);
}

}  // namespace

// Where the word is, or the empty entry where it would go.
std::size_t WordCache::place_of(std::string_view word, std::uint64_t hash) const {
  const std::size_t mask = entries_.size() - 1;
  for (std::size_t place = hash & mask;; place = (place + 1) & mask) {
    const Entry& entry = entries_[place];
    if (entry.word_size == 0) return place;
    if (entry.hash == hash && entry.word_size == word.size() &&
        std::memcmp(words_.data() + entry.word_begin, word.data(), word.size()) == 0) {
      return place;
    }
  }
}

WordCache::Found WordCache::find(std::string_view word) const {
  const Entry& entry = entries_[place_of(word, hash_of(word))];
  return {entry.word_size != 0, std::span(ids_).subspan(entry.ids_begin, entry.ids_size)};
}

void WordCache::insert(std::string_view word, std::span<const std::int32_t> ids) {
  if (word.empty() || word.size() > kLongestWord || ids.size() > UINT16_MAX) return;
  if (size_ == kMostWords) clear();
  if ((size_ + 1) * 2 > entries_.size()) grow();
  const std::uint64_t hash = hash_of(word);
  entries_[place_of(word, hash)] = {
      hash, static_cast<std::uint32_t>(words_.size()), static_cast<std::uint32_t>(ids_.size()),
      static_cast<std::uint16_t>(word.size()), static_cast<std::uint16_t>(ids.size())};
  words_ += word;
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  ++size_;
}

void WordCache::grow() {
  std::vector<Entry> old(entries_.size() * 2);
  old.swap(entries_);
  const std::size_t mask = entries_.size() - 1;
  for (const Entry& entry : old) {
    if (entry.word_size == 0) continue;
    std::size_t place = entry.hash & mask;
    while (entries_[place].word_size != 0) place = (place + 1) & mask;
    entries_[place] = entry;
  }
}

void WordCache::clear() {
  entries_.assign(entries_.size(), Entry());
  words_.clear();
  ids_.clear();
  size_ = 0;
}

}  // namespace terse
