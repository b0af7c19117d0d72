// Words that were encoded before, and their ids. One thread uses a cache at a time.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace terse {

class WordCache {
 public:
  /// Words that are longer are not worth remembering.
  static constexpr std::size_t kLongestWord = 128;

  /// The ids of a word, or nothing; the span is valid until the next insert.
  struct Found {
    bool known;
    std::span<const std::int32_t> ids;
  };
  Found find(std::string_view word) const;

  /// Remembers a word that find does not know; forgets everything first when the cache is full.
  void insert(std::string_view word, std::span<const std::int32_t> ids);

 private:
  struct Entry {
    std::uint64_t hash = 0;
    std::uint32_t word_begin = 0;
    std::uint32_t ids_begin = 0;
    std::uint16_t word_size = 0;  // 0: the entry is empty
    std::uint16_t ids_size = 0;
  };

  std::size_t place_of(std::string_view word, std::uint64_t hash) const;
  void grow();
  void clear();

  std::vector<Entry> entries_ = std::vector<Entry>(1024);
  std::size_t size_ = 0;
  std::string words_;
  std::vector<std::int32_t> ids_;
};

}  // namespace terse
