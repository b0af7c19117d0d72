#include "terse/train/loop/packed_tokens.h"

#include <cstring>
#include <limits>
#include <numeric>
#include <utility>

#include "terse/core/error.h"
#include "terse/core/random.h"

namespace terse::train {
namespace {

bool is_wide(std::int64_t vocab_size) {
  return vocab_size > std::numeric_limits<std::uint16_t>::max();
}

std::filesystem::path digest_path(const std::filesystem::path& path) {
  return path.string() + ".digest";
}

template <class Id>
void write_as(const std::vector<std::int32_t>& ids, FileWriter& writer) {
  const std::vector<Id> packed(ids.begin(), ids.end());
  writer.write(std::as_bytes(std::span(packed)));
}

template <class Id>
std::int64_t read_as(std::span<const std::byte> bytes, std::int64_t index) {
  Id value;
  std::memcpy(&value, bytes.data() + static_cast<std::size_t>(index) * sizeof value, sizeof value);
  return static_cast<std::int64_t>(value);
}

}  // namespace

void PackedTokens::pack(const std::vector<std::int32_t>& ids, std::int64_t vocab_size,
                        const std::filesystem::path& path) {
  FileWriter writer(path);
  is_wide(vocab_size) ? write_as<std::uint32_t>(ids, writer) : write_as<std::uint16_t>(ids, writer);
  write_file(digest_path(path), writer.commit());
}

bool PackedTokens::is_packed(const std::filesystem::path& path) {
  const std::filesystem::path digest = digest_path(path);
  return std::filesystem::exists(path) && std::filesystem::exists(digest) &&
         read_file(digest) == file_digest(path);
}

PackedTokens::PackedTokens(const std::filesystem::path& path, std::int64_t vocab_size,
                           std::int64_t window)
    : file_(MappedFile::open(path)),
      wide_(is_wide(vocab_size)),
      vocab_size_(vocab_size),
      window_(window) {
  const auto ids = static_cast<std::int64_t>(file_->bytes().size() / (wide_ ? 4 : 2));
  windows_ = std::max<std::int64_t>(0, ids - 1) / window;
  if (windows_ == 0) {
    throw bad_input("the text has {} tokens, fewer than one window of {} and its next token", ids,
                    window);
  }
}

std::int64_t PackedTokens::id(std::int64_t index) const {
  const std::int64_t id = wide_ ? read_as<std::uint32_t>(file_->bytes(), index)
                                : read_as<std::uint16_t>(file_->bytes(), index);
  if (id >= vocab_size_) {
    throw bad_input("{}: token id {} is outside the vocabulary of {}", file_->path().string(), id,
                    vocab_size_);
  }
  return id;
}

TokenBatch PackedTokens::batch(const std::vector<std::int64_t>& numbers,
                               const torch::Device& device) const {
  const auto sequences = static_cast<std::int64_t>(numbers.size());
  TokenBatch batch{torch::empty({sequences, window_}, torch::kLong),
                   torch::empty({sequences * window_}, torch::kLong), numbers};
  auto* ids = batch.ids.data_ptr<std::int64_t>();
  auto* targets = batch.targets.data_ptr<std::int64_t>();
  for (const std::int64_t number : numbers) {
    for (std::int64_t i = 0; i < window_; ++i) {
      *ids++ = id(number * window_ + i);
      *targets++ = id(number * window_ + i + 1);
    }
  }
  return {batch.ids.to(device), batch.targets.to(device), std::move(batch.windows)};
}

std::vector<std::int64_t> ShuffledOrder::at(std::int64_t first, std::int64_t count) {
  std::vector<std::int64_t> numbers;
  for (std::int64_t place = first; place < first + count; ++place) {
    if (place / windows_ != epoch_) shuffle(place / windows_);
    numbers.push_back(order_[static_cast<std::size_t>(place % windows_)]);
  }
  return numbers;
}

// Fisher and Yates.
void ShuffledOrder::shuffle(std::int64_t epoch) {
  epoch_ = epoch;
  order_.resize(static_cast<std::size_t>(windows_));
  std::iota(order_.begin(), order_.end(), 0);
  Random random(Random(seed_).next() + static_cast<std::uint64_t>(epoch));
  for (std::size_t i = order_.size() - 1; i > 0; --i) {
    std::swap(order_[i], order_[random.below(i + 1)]);
  }
}

}  // namespace terse::train
