// Token ids to learn from, packed in a file that is mapped, and the order in which they are seen.
#pragma once

#include "terse/train/torch.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "terse/core/file.h"

namespace terse::train {

/// Windows of `window` tokens and the token that follows each.
struct TokenBatch {
  torch::Tensor ids;                  ///< [sequences, window] of int64
  torch::Tensor targets;              ///< [sequences * window]: the next token of each row.
  std::vector<std::int64_t> windows;  ///< The numbers of the sequences, in the text.
};

/// One long sequence of token ids, cut in windows side by side: the last target of one is the first
/// token of the next.
class PackedTokens {
 public:
  /// Writes ids as 16 or 32 bits, as the vocabulary asks. Errors: failed.
  static void pack(const std::vector<std::int32_t>& ids, std::int64_t vocab_size,
                   const std::filesystem::path& path);

  /// Whether `path` is as `pack` wrote it.
  static bool is_packed(const std::filesystem::path& path);

  /// Maps a file of `pack`. Errors: bad_input when it holds no window, or ids that are none of the
  /// vocabulary.
  PackedTokens(const std::filesystem::path& path, std::int64_t vocab_size, std::int64_t window);

  std::int64_t windows() const { return windows_; }
  std::int64_t window() const { return window_; }

  /// Of all ids.
  std::string digest() const { return file_digest(file_->path()); }

  /// The windows with these numbers.
  TokenBatch batch(const std::vector<std::int64_t>& numbers, const torch::Device& device) const;

 private:
  std::int64_t id(std::int64_t index) const;

  std::shared_ptr<const MappedFile> file_;
  bool wide_;  // 32 bits
  std::int64_t vocab_size_;
  std::int64_t window_;
  std::int64_t windows_;
};

/// Numbers of windows in the order of a shuffled walk: every window once in each epoch, and the
/// order of an epoch depends on the seed and its number alone, so that any place can be taken up.
class ShuffledOrder {
 public:
  ShuffledOrder(std::int64_t windows, std::uint64_t seed) : windows_(windows), seed_(seed) {}

  /// Numbers at places [first, first + count) of the walk.
  std::vector<std::int64_t> at(std::int64_t first, std::int64_t count);

 private:
  void shuffle(std::int64_t epoch);

  std::int64_t windows_;
  std::uint64_t seed_;
  std::int64_t epoch_ = -1;
  std::vector<std::int64_t> order_;
};

}  // namespace terse::train
